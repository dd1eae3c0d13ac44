"""``python -m vgg16_parity``: the same as ``vgg16``."""

from vgg16_parity.cli.app import main

main()
