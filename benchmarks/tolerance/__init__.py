"""How well the error model predicts: the evidence for the limits R and Z.

    python -m benchmarks.tolerance --json build/tolerance.json --markdown docs/measured/tolerance.md

Runs every runtime on seeded networks, with another seed and another image each time, and compares
the errors with the predicted standard deviations, layer by layer, accumulated and local. Studies:

  float32      VGG16 at full size, 20 seeds, every runtime, the strict lane. Seeds 0 to 15 see the
               two photographs in the eight symmetries of a square; seeds 16 to 19 see noise.
  fewer-bits   The same in bfloat16 and float16, 2 seeds.
  hard-inputs  The tiny network, 50 seeds, on the stress inputs too.

Takes about an hour on 2 cores. With --json, a run continues where an earlier one was stopped.
"""
