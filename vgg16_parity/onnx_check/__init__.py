"""``vgg16 check``: follow a graph, compare it and its weights with a checkpoint, and run it."""
