"""The network without a framework: architecture, names, layouts, checkpoints, preprocessing.

Nothing in this package imports TensorFlow, Keras, PyTorch, JAX or ONNX Runtime, so that every
framework above it can be judged against the same description.
"""
