"""Compares two checkpoints and names the mistake that turns one into the other."""
