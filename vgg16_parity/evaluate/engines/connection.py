"""A connection to a Ray cluster, or one of this machine alone; Ray says nothing to the user."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from vgg16_parity.runtimes.adapters.framework import cores
from vgg16_parity.runtimes.registry import pip_install
from vgg16_spec.errors import BadInput

# Read as Ray is imported or started. The first counts users at Ray's makers.
VARIABLES: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # It prints what becomes of nodes to stdout, and has no switch but this for lines to leave out.
    "RAY_DEDUP_LOGS": "1",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "(?s).*",
}
_EXPECTED: Final = (
    "auto on a node of a running cluster, or HOST:PORT of its head; `ray start --head` starts one"
)
# How long the head of a cluster may take to answer.
_SECONDS: Final = 10
# A socket's path has room for 107 bytes, of which Ray's own names take some 70.
_LONGEST: Final = 35


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The module ``ray``, connected.

    Args:
        address: of a cluster, as Ray has it; None starts Ray on this machine, until the end. Where
            this process is connected already, it stays so.

    Raises ``BadInput`` where Ray is not installed or there is no such cluster.
    """
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise BadInput(
            "the engine ray", "needs Ray, which is not installed", pip_install(["ray"])
        ) from error
    with _quiet(ray):
        if ray.is_initialized():
            yield ray
            return
        with nullcontext() if address else _scratch() as scratch:
            try:
                _connect(ray, address, scratch)
                yield ray
            finally:
                ray.shutdown()


def _connect(ray: Any, address: str | None, scratch: Path | None) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        _provide_token()
        with _silent_stderr():
            ray.init(
                address="local",
                num_cpus=cores() or None,
                include_dashboard=False,
                _temp_dir=None if scratch is None else str(scratch),
                **quiet,
            )
        return
    if "://" in address:
        raise BadInput("the address", f"is {address!r}", _EXPECTED)
    try:
        host, _, port = address.rpartition(":")
        if host:
            # Ray ends the process where nothing listens there.
            socket.create_connection((host, int(port)), timeout=_SECONDS).close()
        with _silent_stderr():
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        problem = f"is of no cluster ({reason})"
        raise BadInput(f"the address {address}", problem, _EXPECTED) from error


def _provide_token() -> None:
    """Have Ray's own processes know each other by a token that is not kept in the home folder.

    It stays for the next time, since Ray's library reads it once.
    """
    if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Without what Ray's library prints by itself while it connects; it has no switch for that."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Without progress bars and notes on stderr."""
    context = ray.data.DataContext.get_current()
    names = ("enable_progress_bars", "print_on_execution_start", "enable_auto_log_stats")
    before = {name: getattr(context, name) for name in names}
    logger = logging.getLogger("ray.data")
    level = logger.level
    try:
        for name in names:
            setattr(context, name, False)
        logger.setLevel(logging.CRITICAL)
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            setattr(context, name, value)


@contextmanager
def _scratch() -> Iterator[Path | None]:
    """A folder for what Ray keeps while it runs; None where that of its sockets is too long."""
    place = Path(tempfile.mkdtemp(prefix="ray-"))
    try:
        yield place if len(str(place)) <= _LONGEST else None
    finally:
        shutil.rmtree(place, ignore_errors=True)
