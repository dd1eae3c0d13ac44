"""Experiments on rounding, precision and determinism."""
