"""A whole Keras model by its configuration: its layers, and what each computes beside a VGG."""
