"""How fast `vgg16 evaluate` computes, beside hand-written loops of the same frameworks.

    python -m benchmarks.evaluate --markdown docs/measured/evaluate.md

Both sides compute the same JPEGs of 500×375 pixels, cut from the project's photographs, with the
same weights and the same batch, and take turns, repeat by repeat; each is a process of its own.

  Engine           `vgg16_parity.evaluate.run.evaluate` with one runtime and a new folder. Its time
                   is what its worker waits for pixels, computes and normalises; decoding goes on
                   in another process meanwhile.
  Loop             What people write. PyTorch: torchvision's ImageFolder, transforms and a
                   DataLoader with a worker per core; torch-timm: timm's data set and loader, as its
                   validate.py has them. Keras: `model.predict` of a PyDataset with a
                   thread per core. ONNX Runtime: `session.run`, the next batch prepared by a
                   thread. Its time is that of the loop, decoding included.
  Ratio            The engine's images per second over the loop's. Neither counts imports, the
                   weights or the export; both count what a framework compiles for the first batch.
  Difference       The largest between the two sides' logits, over the largest logit.
  Above the weights  The engine's worker while it computes: the peak of its resident memory, with
                   mapped files, less the weights once; sampled every 10 ms.
  While it loads   The same of the whole process: frameworks hold weights twice as they load them.
  Main process     The peak of the process that decodes.

Times are the shortest of the repeats, memory is the largest. The JSON has every repeat.
"""
