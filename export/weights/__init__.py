"""A graph's weights: linked in a weights file, or embedded."""
