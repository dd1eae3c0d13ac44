"""Accuracy on a data set in every runtime, with each changed answer explained."""
