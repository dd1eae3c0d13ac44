"""How planted mistakes are reported.

    python -m benchmarks.mistakes --markdown docs/measured/mistakes.md

Plants every mistake of mistakes/catalogue.py in the PyTorch model and in the Keras model (on
TensorFlow): in the tiny network with both photographs, and in VGG16 with the first one. The page
lists which layer the report names and how far off it is. The exit status is 1 if a mistake is not
found, or if another layer is named than the catalogue states.
"""
