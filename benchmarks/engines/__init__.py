"""Other engines, judged as ``vgg16 parity`` judges a runtime.

    python -m benchmarks.engines --markdown docs/measured/engines.md

Runs every engine on VGG16 at full size with seeded weights and both photographs, in float32 and
with its own defaults, each in its own process. Takes about ten minutes on 2 cores.
"""
