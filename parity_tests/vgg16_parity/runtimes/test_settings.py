"""What the lanes set in each framework on a GPU, found without one."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from vgg16_parity.runtimes import registry, settings
from vgg16_parity.runtimes.lanes import LANES
from vgg16_parity.runtimes.registry import RUNTIMES
from vgg16_parity.runtimes.settings import Unavailable

SWITCHES = ("matmul.fp32_precision", "cudnn.conv.fp32_precision")


@pytest.fixture
def torch_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """PyTorch as if it found a GPU, with its switches as they were afterwards."""
    torch = pytest.importorskip("torch")
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.deterministic)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    yield torch
    matmul.fp32_precision, cudnn.conv.fp32_precision, cudnn.deterministic = before
    torch.use_deterministic_algorithms(False)
    for kind in ("fp16", "bf16"):
        setattr(matmul, f"allow_{kind}_reduced_precision_reduction", True)


@pytest.mark.parametrize(("lane", "precision"), [("strict", "ieee"), ("tf32", "tf32")])
def test_pytorch_products_and_convolutions_are_of_one_mode(
    torch_gpu: Any, lane: str, precision: str
) -> None:
    flags = settings.configure_torch(LANES[lane], "cuda")
    assert {flags[name] for name in SWITCHES} == {precision}
    assert torch_gpu.backends.cuda.matmul.fp32_precision == precision
    assert torch_gpu.backends.cudnn.conv.fp32_precision == precision
    strict = str(lane == "strict")
    assert (flags["cudnn.deterministic"], flags["deterministic_algorithms"]) == (strict, strict)


def test_pytorchs_default_has_tf32_for_convolutions_alone(torch_gpu: Any) -> None:
    flags = settings.configure_torch(LANES["default"], "cuda")
    assert flags["cudnn.conv.fp32_precision"] == "tf32"
    assert flags["matmul.fp32_precision"] != "tf32"


@pytest.mark.parametrize("lane", ["bfloat16", "float16"])
def test_pytorch_sums_fewer_bits_in_float32(torch_gpu: Any, lane: str) -> None:
    settings.configure_torch(LANES[lane], "cuda")
    matmul = torch_gpu.backends.cuda.matmul
    assert matmul.allow_fp16_accumulation is False
    assert matmul.allow_fp16_reduced_precision_reduction is False
    assert matmul.allow_bf16_reduced_precision_reduction is False


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "Found no NVIDIA driver. Please\ninstall.",
            "PyTorch finds no usable GPU: Found no NVIDIA driver",
        ),
        (
            "version 1.2 is too old\nreally.",
            "PyTorch finds no usable GPU: version 1.2 is too old really",
        ),
        ("", "PyTorch finds no usable GPU"),
    ],
)
def test_why_pytorch_cannot_use_a_gpu_is_told(
    monkeypatch: pytest.MonkeyPatch, said: str, reason: str
) -> None:
    torch = pytest.importorskip("torch")

    def init() -> None:
        if said:
            raise RuntimeError(said)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)
    with pytest.raises(Unavailable) as refusal:
        settings.configure_torch(LANES["strict"], "cuda")
    assert str(refusal.value) == reason


class Jax(SimpleNamespace):
    """JAX with a GPU, or with a reason for having none."""

    def __init__(self, refusal: str = "", backend: str = "gpu") -> None:
        config = SimpleNamespace(jax_default_matmul_precision=None)
        config.update = lambda name, value: setattr(config, name, value)
        self.config = config
        self.refusal, self.backend = refusal, backend

    def devices(self, _kind: str) -> list[str]:
        if self.refusal:
            raise RuntimeError(self.refusal)
        return ["gpu:0"]

    def default_backend(self) -> str:
        return self.backend


@pytest.mark.parametrize(
    ("lane", "precision"),
    [("strict", "highest"), ("tf32", "tensorfloat32"), ("default", "None"), ("bfloat16", "None")],
)
def test_jax_is_told_its_precision(
    monkeypatch: pytest.MonkeyPatch, lane: str, precision: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jax", Jax())
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=true")
    flags = settings.configure_jax(LANES[lane], "cuda")
    assert flags["default_matmul_precision"] == precision
    assert flags["XLA_FLAGS"] == "--xla_gpu_deterministic_ops=true"


@pytest.mark.parametrize(
    ("jax", "reason"),
    [
        (
            Jax("Unknown backend: 'gpu'. Try cpu."),
            "JAX finds no usable GPU: Unknown backend: 'gpu'",
        ),
        (Jax(backend="cpu"), "JAX finds no usable GPU and takes cpu"),
    ],
    ids=["refused", "not taken"],
)
def test_jax_without_a_gpu_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, jax: Jax, reason: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jax", jax)
    with pytest.raises(Unavailable, match=reason):
        settings.configure_jax(LANES["strict"], "cuda")


class TensorFlow(SimpleNamespace):
    """TensorFlow with so many GPUs."""

    def __init__(self, gpus: int, *, built: bool = True) -> None:
        self.tf32, self.determinism = True, False

        def enable(on: bool) -> None:
            self.tf32 = on

        def determined() -> None:
            self.determinism = True

        self.config = SimpleNamespace(
            list_physical_devices=lambda _kind: ["gpu"] * gpus,
            experimental=SimpleNamespace(
                enable_tensor_float_32_execution=enable,
                tensor_float_32_execution_enabled=lambda: self.tf32,
                enable_op_determinism=determined,
            ),
        )
        self.test = SimpleNamespace(is_built_with_cuda=lambda: built)


@pytest.mark.parametrize(
    ("lane", "tf32", "determinism"),
    [("strict", False, True), ("tf32", True, False), ("default", True, False)],
)
def test_tensorflow_is_told_its_precision(
    monkeypatch: pytest.MonkeyPatch, lane: str, tf32: bool, determinism: bool
) -> None:
    fake = TensorFlow(1)
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", fake)
    flags = settings.configure_tensorflow(LANES[lane], "cuda")
    assert (fake.tf32, fake.determinism) == (tf32, determinism)
    assert flags == {"tensor_float_32": str(tf32), "op_determinism": str(determinism)}


@pytest.mark.parametrize(
    ("built", "reason"),
    [
        (True, "TensorFlow finds no usable GPU"),
        (False, "TensorFlow finds no usable GPU: it was built without CUDA"),
    ],
)
def test_tensorflow_without_a_gpu_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, built: bool, reason: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", TensorFlow(0, built=built))
    with pytest.raises(Unavailable) as refusal:
        settings.configure_tensorflow(LANES["strict"], "cuda")
    assert str(refusal.value) == reason


@pytest.mark.parametrize(
    ("runtime", "cpu", "cuda"),
    [
        ("torch", "torch", "torch"),
        ("keras-jax", "jax", "jax,cuda"),
        ("onnx-from-keras", "keras,onnx", "keras,cuda"),
        ("onnx-from-torch", "torch,onnx", "torch,cuda"),
    ],
)
def test_what_is_missing_is_remedied_for_the_device(
    monkeypatch: pytest.MonkeyPatch, runtime: str, cpu: str, cuda: str
) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda _name: None)
    assert RUNTIMES[runtime].missing().endswith(f'pip install "vgg16-parity[{cpu}]"')
    assert RUNTIMES[runtime].missing("cuda").endswith(f'pip install "vgg16-parity[{cuda}]"')


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (SimpleNamespace(device="cuda:0"), "cuda:0"),
        (SimpleNamespace(device="/job:localhost/device:GPU:0"), "/job:localhost/device:GPU:0"),
        (SimpleNamespace(devices=lambda: {"cuda:1", "cuda:0"}), "cuda:0, cuda:1"),
    ],
)
def test_keras_says_on_which_gpu_its_weights_lie(value: Any, place: str) -> None:
    assert settings.keras_device(value, "cuda") == place


def test_keras_whose_weights_stay_on_the_cpu_does_not_count_as_the_gpu() -> None:
    keras = pytest.importorskip("keras")
    value = keras.Variable([1.0, 2.0]).value
    assert settings.keras_device(value, "cpu") == "cpu"
    with pytest.raises(Unavailable, match=r"(?i)holds the weights on .*cpu"):
        settings.keras_device(value, "cuda")
