"""Operators without a rule of their own: by ONNX's function bodies, or by its reference."""
