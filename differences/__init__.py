"""How Keras and PyTorch differ in what VGG16 needs: one experiment for each difference.

    python -m differences                         run all of them
    python -m differences flatten-order           run one
    python -m differences flatten-order --write   run one and write its figures into its page

The pages are in docs/differences/. The exit status is 1 if an experiment does not support a claim
of its page, 2 for a name or page that does not exist.
"""
