"""Parity and throughput on an NVIDIA GPU, in about seven minutes, then the tests that need a GPU.

    python -m benchmarks.cuda --out build/cuda --markdown docs/measured/cuda.md

Measures what counts most first, because time may run out:

  1. Parity in the strict lane: every runtime on the GPU, on the CPU, and each beside the other.
  2. Parity in the lanes tf32 and default.
  3. Throughput in these three lanes at batch 1, 32 and 256, beside the roofline.
  4. Parity, then throughput, in the lanes bfloat16 and float16.
  5. The tests that need a GPU, on the tiny network: pytest --device cuda -m "cuda and not full".
     They take about three minutes more: --seconds 900 leaves time for them and the next ones.
  6. The tests at full size: pytest --device cuda -m "cuda and full".

Every result is on disk as soon as it is measured: in the folder --out, report.json (the report of
vgg16 parity), throughput.json and tests.txt (the output of both runs of tests). cuda.md, the page,
and report.html follow after each stage, the plots at the end. Nothing is started after --seconds,
and what is running then is stopped. A run that is stopped by SIGTERM or Ctrl-C writes everything
from the results that it has.

A runtime that is not installed, or cannot use the GPU, is a row with the reason. Each measurement
is a process of its own. Several processes run at once (--at-once), but only one of them measures
throughput; the next ones start, export and load meanwhile. Images are on the device before the
clock starts, and it stops when the logits are there; times are medians after three warm-up runs.
The roofline is the floating-point operations of one image over the rate of a large matrix product,
measured in PyTorch in the mode that judges the lane: default is compared with the rate of TF32,
although PyTorch's own default computes its matrix products in IEEE float32.

Targets: ONNX Runtime and PyTorch within 25 % of each other; R and Z of the strict lane within their
limits; the tests pass. --device cpu runs all of it without a GPU, to try the command.
"""
