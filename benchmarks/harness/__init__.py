"""What the benchmarks share: commands, measured processes, targets, tables, plots."""
