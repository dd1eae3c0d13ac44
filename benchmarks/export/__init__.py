"""What exporting to ONNX costs, beside the usual routes."""
