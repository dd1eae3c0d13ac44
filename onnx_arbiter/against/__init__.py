"""Two files of one network, compared value by value."""
