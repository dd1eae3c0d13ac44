"""Experiments on ONNX exporters."""
