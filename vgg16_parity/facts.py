"""What a report says of the checkpoint and of the inputs of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from onnx_arbiter.expectations import ArbiterCase
from vgg16_parity import inputs
from vgg16_parity.records import CaseFacts, Image, Weights
from vgg16_spec.checkpoint import Checkpoint, digest
from vgg16_spec.checkpoint.seeded import is_seeded
from vgg16_spec.logits import top as top_classes


def weights_facts(checkpoint: Checkpoint) -> Weights:
    """What a report says of a checkpoint; reads the whole file for its digest."""
    return Weights(
        configuration=checkpoint.configuration.name,
        parameters=checkpoint.configuration.parameters(),
        seeded=is_seeded(checkpoint),
        path="" if checkpoint.path is None else checkpoint.path.name,
        sha256="" if checkpoint.path is None else digest(checkpoint.path),
        metadata=asdict(checkpoint.metadata),
        classes=checkpoint.configuration.classes,
    )


def case_facts(expectation: ArbiterCase, files: Sequence[Path]) -> CaseFacts:
    """What a report says of a case; ``files`` are the pictures, for the case that has them."""
    case = expectation.case
    digests = [digest(path) for path in files] if case.name == inputs.PICTURES else []
    logits = np.array(expectation.preactivation(expectation.last))
    finite = [bool(np.isfinite(row).all()) for row in logits]
    first = top_classes(np.where(np.isfinite(logits), logits, 0), 5)
    return CaseFacts(
        case.name,
        tuple(
            Image(label, sha256, tuple(map(int, top)) if shown else ())
            for label, sha256, top, shown in zip(
                case.labels, digests or [""] * len(case.labels), first, finite, strict=True
            )
        ),
    )
