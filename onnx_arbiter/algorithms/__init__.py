"""Algorithms of convolutions that round otherwise than a direct sum does: Winograd's, and FFTs."""
