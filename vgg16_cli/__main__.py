"""``python -m vgg16_cli``: the same as ``vgg16``."""

from vgg16_cli.app import main

main()
