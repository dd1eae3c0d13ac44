"""What a network is read from and written to: ONNX files, arrays, and the graph that they give."""
