"""The stages of ``vgg16_parity.onnx_check.check``: following a graph, comparing it, comparing its weights."""
