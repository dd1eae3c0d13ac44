"""The programs that run an ONNX file, with taps at every value and node by node."""
