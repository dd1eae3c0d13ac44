"""Keras to ONNX and PyTorch to ONNX. ``import export`` alone imports no framework."""

from __future__ import annotations

from export.bundle import MODEL_FILE, WEIGHTS_FILE, export_onnx

__all__ = ["MODEL_FILE", "WEIGHTS_FILE", "export_onnx"]
