"""Run commands on files that may be hostile, each in a process of its own; a module with ``OUT``.

The commands come as JSON on stdin: for each its name and its arguments. Each is a fork of this
process, which has every library already: what it takes of memory is the file's doing. Prints a JSON
document a command.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py  # noqa: F401 - so that no fork has to
import safetensors.numpy  # noqa: F401
import torch  # noqa: F401
from PIL import Image

import vgg16_weights
from vgg16_parity.cli import app
from vgg16_weights import first_reading

SECONDS = 60
# For a process that reads a file first, so that one which never ends is not waited for as long.
FIRST_SECONDS = 6


def main(out: str) -> None:
    folder = Path(out)
    vgg16_weights.writable()
    vars(first_reading)["_SECONDS"] = FIRST_SECONDS
    for module in ("google.protobuf.message", "vgg16_parity.onnx_check.source", "export"):
        import_module(module)
    Image.init()
    for name, arguments in json.load(sys.stdin):
        print(json.dumps({"name": name, **run(arguments, folder)}), flush=True)


def run(arguments: list[str], folder: Path) -> dict[str, object]:
    """What a command said, how it ended, and what it took beside what this process has.

    ``memory apart`` is that of the largest process that it started, in all; ``left`` is the
    beginning of each file in the folder.
    """
    start = time.perf_counter()
    told, tell = os.pipe()
    memory, report = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(tell, 1)
        os.dup2(tell, 2)
        # Streams of its own, which do not take the pipe for what this process had.
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        signal.alarm(SECONDS)
        before = peak()
        sys.argv = ["vgg16", *arguments]
        status = 70
        try:
            app.main()
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            apart = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
            os.write(report, json.dumps([peak() - before, apart]).encode())
            os._exit(status)
    os.close(tell)
    os.close(report)
    with os.fdopen(told, "rb") as stream, os.fdopen(memory, "rb") as number:
        text, taken = stream.read().decode(errors="replace"), number.read()
    _, status = os.waitpid(child, 0)
    own, apart = json.loads(taken or "[-1, 0]")
    return {
        "status": os.waitstatus_to_exitcode(status),
        "text": text,
        "memory": own,
        "memory apart": apart,
        "seconds": time.perf_counter() - start,
        "left": {path.name: path.read_bytes()[:8].decode("latin-1") for path in folder.iterdir()},
    }


def peak() -> int:
    """The most memory that the process has taken, in bytes, without what it maps of files."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def measured(commands: list[tuple[str, list[str]]], folder: Path) -> dict[str, dict[str, Any]]:
    """The same in another process, by the commands' names."""
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(folder)],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stderr
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


if __name__ == "__main__":
    main(sys.argv[1])
