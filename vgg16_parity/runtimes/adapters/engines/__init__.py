"""Engines that nobody here wrote, each on the exported graph.

One module per engine, imported by ``vgg16_parity.runtimes.worker`` alone. Each has ``load``, which
hands `graph.EngineGraph` the function that opens a graph in the engine.
"""
