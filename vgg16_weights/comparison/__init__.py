"""Two checkpoints compared, and the mistake that makes one of the other."""
