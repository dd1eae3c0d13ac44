"""Keras's weight files."""
