"""Gradients and one step of SGD: the arbiter's, and how far a runtime's are from them."""
