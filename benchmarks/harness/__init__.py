"""What the benchmarks share: processes that are measured, the machine, plots."""
