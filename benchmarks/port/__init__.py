"""What porting weights between formats costs: the time and memory of each direction.

    python -m benchmarks.port --configuration D --markdown docs/measured/port.md

Every measurement is a process of its own; those of one direction take turns, repeat by repeat.

  Port                What `vgg16 port` does: read the file (find its format, check its checksums
                      and values), write the other one, flush it to the disk (fsync, rename). The
                      process has ported the tiny network before, so everything is imported when
                      the clock starts.
  Copy                A plain copy of the source file, flushed to the disk.
  Permutation         One pass over as many values in memory, from the source's order to the
                      target's, into one buffer; all memory was touched before. 0 if both formats
                      have the same order.
  Ratio               The port's time over that of the copy and the permutation.
  Peak above imports  The peak of memory while the clock ran, above that at its start, without pages
                      of mapped files; sampled every 5 ms. The JSON also has it with them
                      (resident_above_bytes).
  Whole process       The same peak with what the process took before: Python and its imports.
  With mapped files   The whole process's resident memory, as the system's tools report it. It holds
                      the pages of the mapped source, which the kernel may drop at any time.
  Naive               The usual way, through the other framework's model: torch.load, set_weights,
                      save_weights; or load_weights, load_state_dict, torch.save. Keras runs on
                      PyTorch (KERAS_BACKEND=torch). Its file is not flushed to the disk, and its
                      models start with the values that their constructors draw.

Times are the minimum of the repeats, memory is the maximum. Not medians: when a virtual machine
first writes to its page cache, the host may take up to a second per 0.5 GB to provide the memory.
The JSON has every repeat. The source is in the page cache, and what was written before is on the
disk when the next process starts. In the first repeat every written file is read again after the
clock has stopped; different values are an error.
"""
