"""Everything that is measured on an NVIDIA GPU."""
