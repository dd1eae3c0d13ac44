"""What computes an evaluation: this machine's processes, or a Ray cluster."""
