"""What the arbiter knows of each operator: its value, and how errors pass through it."""
