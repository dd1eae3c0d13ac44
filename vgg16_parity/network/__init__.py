"""VGG16 in float64, and the rounding error to expect at each of its layers."""
