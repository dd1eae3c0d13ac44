"""TODO"""

from onnx_arbiter.operators.operation import Rule

RULES: dict[str, Rule] = {}
