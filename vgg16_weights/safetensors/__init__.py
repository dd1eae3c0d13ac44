"""Safetensors files, under our keys and others."""
