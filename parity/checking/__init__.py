"""The stages of ``parity.check``: following a graph, comparing it, comparing its weights."""
