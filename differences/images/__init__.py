"""Experiments on pictures: decoding, resizing, normalising."""
