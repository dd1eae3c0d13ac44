"""Experiments on weights: layouts, orders, initial values."""
