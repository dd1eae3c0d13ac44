"""Experiments on layers."""
