"""Every runtime on the same inputs, judged by its distance from a float64 arbiter."""
