"""``python -m onnx_arbiter``: the same as ``onnx-arbiter``."""

from onnx_arbiter.cli.app import main

if __name__ == "__main__":
    main()
