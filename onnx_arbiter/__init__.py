"""How far rounding may take a value: numeric modes, limits and the comparison with float64."""
