"""Gradients and one SGD step: the arbiter's, and the errors of a runtime's."""
