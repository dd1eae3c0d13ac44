"""A checkpoint read, checked and written in blocks of any size is the same, to the last value."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from parity_tests.support.weights.changed import with_value
from vgg16_spec import layouts
from vgg16_spec.architecture import configuration
from vgg16_spec.checkpoint import digest, write_checkpoint
from vgg16_spec.checkpoint.seeded import generate
from vgg16_spec.errors import BadInput

# In bytes: one value, a third of the smallest tensor (16 bytes), less than it, exactly it, and what
# leaves a last block of one value and of all but one.
SIZES = (4, 8, 12, 16, 4 * 47, 4 * 1535)
SMALL = generate(configuration("tiny", classes=5), 5)


@pytest.mark.parametrize("block_bytes", SIZES)
def test_a_tensors_digest_is_that_of_all_its_values(block_bytes: int) -> None:
    for name, values in SMALL.items():
        assert (
            SMALL.tensor(name).digest(block_bytes) == hashlib.sha256(values.tobytes()).hexdigest()
        )


@pytest.mark.parametrize("block_bytes", SIZES)
@pytest.mark.parametrize("place", [0, 1, -1])
def test_a_value_that_is_not_finite_is_found_wherever_it_is(block_bytes: int, place: int) -> None:
    for name in ("block1_conv1.bias", "fc1.weight", "predictions.bias"):
        with pytest.raises(BadInput, match=rf"not finite \(NaN or infinity\): {name}; "):
            with_value(SMALL, name, place, np.nan).check_values(block_bytes)
    with_value(SMALL, name, place, float(np.finfo(np.float32).max)).check_values(block_bytes)


@pytest.mark.parametrize("block_bytes", SIZES)
def test_a_file_has_the_same_bytes(tmp_path: Path, block_bytes: int) -> None:
    whole = write_checkpoint(SMALL, tmp_path / "whole.safetensors")
    blocks = write_checkpoint(SMALL, tmp_path / "blocks.safetensors", block_bytes)
    assert blocks.file.read_bytes() == whole.file.read_bytes()
    assert all(blocks[name].tobytes() == SMALL[name].tobytes() for name in SMALL)


@pytest.mark.parametrize("block_bytes", SIZES)
def test_blocks_in_another_order_are_all_of_its_values(block_bytes: int) -> None:
    maps = SMALL.configuration.feature_shape

    def in_keras_order(name: str, values: np.ndarray) -> np.ndarray:
        return layouts.keras_view(name, values, maps)

    with SMALL.finite_blocks(in_keras_order, block_bytes) as blocks_of:
        for name in ("block1_conv2.weight", "fc1.weight", "fc2.bias"):
            found = np.concatenate([block.copy() for block in blocks_of(name)])
            expected = layouts.canonical_to_keras(name, SMALL[name], maps)
            assert found.tobytes() == expected.tobytes()


# Of two values at least: they come in pairs.
@pytest.mark.parametrize("chunk_values", [2, 4, 6, 46, 1536])
def test_seeded_values_do_not_depend_on_the_chunk(chunk_values: int) -> None:
    made = generate(SMALL.configuration, 5, chunk_values=chunk_values)
    for name in ("block1_conv1.bias", "fc1.weight", "fc2.bias"):
        assert made[name].tobytes() == SMALL[name].tobytes()


@pytest.mark.parametrize("block_bytes", [1, 5, 10, 11, 12])
def test_a_files_digest_does_not_depend_on_the_block(tmp_path: Path, block_bytes: int) -> None:
    content = bytes(range(11))
    (tmp_path / "file").write_bytes(content)
    assert digest(tmp_path / "file", block_bytes) == hashlib.sha256(content).hexdigest()
