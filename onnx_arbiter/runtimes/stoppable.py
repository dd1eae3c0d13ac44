"""Running an ONNX Runtime session that may never end, or take all memory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Any, Final

from onnx_arbiter.graph import Array

# A network takes seconds; a graph may have a loop without an end.
_MOST_SECONDS: Final = 600
# A node that runs is waited for, since it uses the arrays.
_SECONDS_TO_STOP: Final = 30
_NO_MEMORY: Final = re.compile("bad_alloc|[Ff]ailed to allocate memory")


def run_session(
    session: Any, inputs: Mapping[str, Array], wanted: Sequence[str]
) -> dict[str, Array]:
    """The outputs that are wanted, by name.

    Inside a run, the library answers no signal: it runs in another thread, and is told to stop when
    this one is interrupted.

    Raises ``TimeoutError`` where it does not end, ``MemoryError`` where it takes too much, and what
    the library does.
    """
    import onnxruntime

    names, options = list(wanted), onnxruntime.RunOptions()
    options.log_severity_level = 4
    computed, errors = list[Array](), list[BaseException]()

    def run() -> None:
        try:
            computed.extend(session.run(names, dict(inputs), options))
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    try:
        thread.join(_MOST_SECONDS)
        if thread.is_alive():
            raise TimeoutError(f"it does not end within {_MOST_SECONDS} s")
    finally:
        options.terminate = True
        thread.join(_SECONDS_TO_STOP)
    if errors:
        if _NO_MEMORY.search(str(errors[0])):  # after lines of the library's own
            raise MemoryError("it takes more memory than there is") from errors[0]
        raise errors[0]
    return dict(zip(names, computed, strict=True))
