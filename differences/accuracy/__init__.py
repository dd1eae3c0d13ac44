"""An experiment on what moves an accuracy although the weights are the same."""
