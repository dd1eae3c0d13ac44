"""How Keras and PyTorch differ where VGG16 is concerned: an experiment for each difference.

``python -m differences`` runs them and prints what they find; ``--write`` puts the figures, and the
pictures, into the pages of ``docs/differences/``.
"""
