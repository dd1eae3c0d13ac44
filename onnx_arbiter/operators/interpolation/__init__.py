"""Maps that are read between their elements."""
