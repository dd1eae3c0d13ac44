"""Ports of models that are in memory: exported references, taps of ports, and their matching."""
