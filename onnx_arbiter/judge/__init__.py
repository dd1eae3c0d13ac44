"""What runtimes computed, compared with the arbiter: verdicts, where a run goes wrong, and why."""
