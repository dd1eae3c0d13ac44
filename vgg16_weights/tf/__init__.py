"""What people keep of TensorFlow's networks: NumPy dictionaries and checkpoints."""
