"""How an ONNX file begins; its weights are read where graphs are followed, not here."""

from __future__ import annotations

from typing import Final

# Field 1, a number: the version of the format, which reached 13 in eight years.
_VERSION: Final = 0x08
_NEWEST: Final = 64
# The field that follows: producer, its version, domain, model version, text, graph or opset.
_NEXT: Final = frozenset(b"\x12\x1a\x22\x28\x32\x3a\x42")


def begins_a_model(start: bytes) -> bool:
    """Whether a file begins as ONNX's ``ModelProto`` does, as every exporter writes it."""
    return len(start) > 2 and start[0] == _VERSION and start[1] < _NEWEST and start[2] in _NEXT
