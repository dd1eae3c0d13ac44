"""Port files that may be hostile, each in a process of its own; run as a module with ``OUT``.

The list comes as JSON on stdin: for each file its name, its path, and the format to read it in or
none. Each port is a fork of this process, which has every library already: what it takes of memory
is the file's doing. Prints a JSON document a port.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path

import h5py  # noqa: F401 - so that no fork has to
import safetensors.numpy  # noqa: F401
import torch  # noqa: F401

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
    import_module("google.protobuf.message")
    for name, path, file_format in json.load(sys.stdin):
        chosen = ["--from", file_format] if file_format else []
        arguments = ["port", path, str(folder / "ported.safetensors"), *chosen]
        print(json.dumps({"name": name, **ported(arguments, folder)}), flush=True)


def ported(arguments: list[str], folder: Path) -> dict[str, object]:
    """What a port said, how it ended, and what it took beside what this process has.

    ``memory apart`` is that of the process in which it had the file read first, in all.
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


if __name__ == "__main__":
    main(sys.argv[1])
