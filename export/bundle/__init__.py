"""The export as files: one ONNX file, or a folder ready to deploy."""
