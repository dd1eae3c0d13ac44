"""Runs every runtime on the same inputs and judges how far each is from a float64 arbiter."""
