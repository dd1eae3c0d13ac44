"""Checks a wheel, from the clone's root: ``python .ci/check_wheel.py FILE.whl``."""

import re
import subprocess
import sys
from email import message_from_bytes
from zipfile import ZipFile

PACKAGES = (
    "export",
    "keras_impl",
    "onnx_arbiter",
    "torch_impl",
    "vgg16_parity",
    "vgg16_spec",
    "vgg16_weights",
)


def main(file: str) -> None:
    """Exit with a message if the wheel lacks a file or its description has relative links."""
    with ZipFile(file) as wheel:
        names = set(wheel.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        description = str(message_from_bytes(wheel.read(metadata)).get_payload())
    # Templates, schemas, photographs and class names too: every tracked file.
    command = ["git", "ls-files", *PACKAGES]
    tracked = subprocess.run(command, capture_output=True, check=True)
    wanted = {*tracked.stdout.decode().split(), *(f"{package}/py.typed" for package in PACKAGES)}
    if missing := sorted(wanted - names):
        sys.exit(f"{file} lacks {', '.join(missing)}")
    links = re.findall(r"\]\(([^)]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", description)
    targets = ["".join(link) for link in links]
    if relative := [link for link in targets if not re.match(r"https?:|mailto:|#", link)]:
        sys.exit(f"{file}: its description links to {', '.join(relative)}")
    if not targets:
        sys.exit(f"{file} has no description with links")


if __name__ == "__main__":
    main(sys.argv[1])
