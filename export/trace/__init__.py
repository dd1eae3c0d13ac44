"""Keras and PyTorch to ONNX, by tracing the structure alone."""
