"""The ways to compute the network, one process per runtime."""
