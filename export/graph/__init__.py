"""The canonical graph: how it is reached, named and changed."""
