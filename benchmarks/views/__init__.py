"""What it costs to average over views of a picture, in PyTorch on one thread.

    python -m benchmarks.views --markdown docs/measured/views.md

The processor's seconds are counted, not the clock's: other work on the machine matters less.
"""
