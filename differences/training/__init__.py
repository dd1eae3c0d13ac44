"""Experiments on losses and optimisers."""
