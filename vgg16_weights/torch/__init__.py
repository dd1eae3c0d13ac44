"""PyTorch's own files, read as data."""
