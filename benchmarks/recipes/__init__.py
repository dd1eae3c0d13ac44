"""What a recipe other than the weights' own does."""
