"""Known mistakes of ports: what a node computes if one was made."""
