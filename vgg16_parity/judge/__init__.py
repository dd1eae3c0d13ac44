"""Verdicts on a runtime's results: taps, layers, classes, gradients, and GPU against CPU."""
