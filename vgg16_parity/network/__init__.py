"""VGG16 in float64, and how rounding spreads through it."""
