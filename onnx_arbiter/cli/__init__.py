"""The command line of any graph, and what `vgg16` shares with it."""
