"""Measurements: this project and its peers side by side. Run from the repository's root."""
