"""Which of a file's tensors is which of the network's."""
