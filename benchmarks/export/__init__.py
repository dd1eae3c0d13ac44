"""What exporting VGG16 to ONNX costs, and how the files run: this project and its peers.

    python -m benchmarks.export --configuration D --markdown docs/measured/export.md

Every measurement is a process of its own, on the CPU. All routes export the same seeded weights.

Export
  Time             The clock starts when every module is imported and a peer's model holds its
                   weights. This project's routes start with the checkpoint opened, that is mapped
                   but not read. "Every module" means those that the same route had loaded after
                   exporting the tiny configuration in another process, which includes the parts
                   that exporters import in the middle of a first export. What a framework sets up
                   on first use (registries, contexts, compiled functions) is timed.
  Process          The whole life of the process: Python, imports, loading, export, exit.
  Peak above       The peak of resident memory while the clock ran, above what was resident when it
                   started. Pages of mapped input files count.
  Anonymous above  The same for anonymous memory, without mapped files, sampled every 5 ms.
  Process peak     The peak of resident memory over the life of the process.

Times are medians of the repeats; memory is the maximum. The weights are in the page cache, and what
earlier routes wrote is on the disk before the next one starts. A route that exceeds the limits of
time or memory is killed and reported so. Slow routes run only with --slow.

Sessions
  ONNX Runtime, already imported, opens a file in a new process and runs it on one image. The files
  are in the page cache and are opened in another order each time.

Latency
  The sessions of all files, or of as many as fit into memory, are open in one process and run in
  turn. In each round a file's time is divided by that of a reference file; the table has the
  medians of these ratios. The logits of all files are compared, which shows that all of them
  compute the same.
"""
