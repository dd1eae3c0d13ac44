"""Published weights: what is on record of each, and their files."""
