"""A float64 arbiter: numeric modes, the rounding error to expect, limits, and the comparison."""
