"""PyTorch's weight files."""
