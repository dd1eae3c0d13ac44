"""The digest of every image, and which images are there twice."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby, islice
from threading import Event, Semaphore
from typing import Final

from vgg16_parity.evaluate.datasets.items import Item, Skipped
from vgg16_parity.evaluate.datasets.places import StoredPlace
from vgg16_spec.errors import BadInput

# Threads wait for the disk or the network more than they compute.
_LOCAL_THREADS: Final = min(8, 2 * (os.cpu_count() or 1))
_REMOTE_THREADS: Final = 32
# So many files are one task; what one file contains is read in order, by one thread.
_TASK: Final = 32
# Two files at once that are read forwards: a Parquet page may take hundreds of megabytes.
_FORWARDS: Final = Semaphore(2)


@dataclass(frozen=True, slots=True)
class Entry:
    """An image before it has been read: its name, its label's index and its place."""

    name: str
    label: int | None
    place: StoredPlace


@dataclass
class Digested:
    """Images, each once; those with the bytes of an earlier one; those that cannot be read."""

    items: list[Item]
    duplicates: list[Skipped]
    unreadable: list[Skipped]


def digest_entries(
    entries: Iterable[Entry],
    total: int,
    advance: Callable[[int, int], None] | None = None,
    *,
    remote: bool = False,
    keep_copies: bool = False,
) -> Digested:
    """Read every image once and tell equal ones apart from others.

    Args:
        entries: in the order of the result.
        total: how many they are.
        advance: called with how many have been read, and with the total.
        remote: whether reading one means to wait for a server.
        keep_copies: whether an image with the bytes of an earlier one is an item as well.
    """
    found = Digested([], [], [])
    first: dict[str, int] = {}
    done = 0
    for task, digests in _in_order(_tasks(entries), _REMOTE_THREADS if remote else _LOCAL_THREADS):
        for entry, digest in zip(task, digests, strict=True):
            if isinstance(digest, BadInput):
                found.unreadable.append(Skipped(entry.name, digest.problem))
            elif not keep_copies and (
                (index := first.setdefault(digest, len(found.items))) < len(found.items)
            ):
                found.duplicates.append(_duplicate(entry, found.items[index]))
            else:
                found.items.append(Item(entry.name, entry.label, digest, entry.place))
        done += len(task)
        if advance is not None:
            advance(done, total)
    return found


def _duplicate(entry: Entry, first: Item) -> Skipped:
    labels = "" if entry.label == first.label else ", and another label"
    return Skipped(entry.name, f"has the bytes of {first.name}{labels}")


def _tasks(entries: Iterable[Entry]) -> Iterator[Sequence[Entry]]:
    for container, run in groupby(entries, lambda entry: entry.place.container):
        # Without a container 32 at a time: with one all together, for it is read forwards.
        while task := list(islice(run, _TASK if container is None else None)):
            yield task


def _in_order(
    tasks: Iterable[Sequence[Entry]], workers: int
) -> Iterator[tuple[Sequence[Entry], list[str | BadInput]]]:
    """Each task and its digests; few are under way or done ahead, whatever their number."""
    with ThreadPoolExecutor(workers) as threads:
        stop = Event()
        waiting: deque[tuple[Sequence[Entry], Future[list[str | BadInput]]]] = deque()
        try:
            for task in tasks:
                waiting.append((task, threads.submit(_digests, task, stop)))
                if len(waiting) > 2 * workers:
                    entries, future = waiting.popleft()
                    yield entries, future.result()
            while waiting:
                entries, future = waiting.popleft()
                yield entries, future.result()
        finally:
            # Whoever interrupts waits for one image a thread.
            stop.set()
            threads.shutdown(wait=False, cancel_futures=True)


def _digests(task: Sequence[Entry], stop: Event) -> list[str | BadInput]:
    """The digest of each, or why it cannot be read."""
    with nullcontext() if task[0].place.container is None else _FORWARDS:
        return [_digest(entry.place) for entry in task if not stop.is_set()]


def _digest(place: StoredPlace) -> str | BadInput:
    sha256 = hashlib.sha256()
    try:
        for block in place.blocks():
            sha256.update(block)
    except BadInput as error:
        return error
    return sha256.hexdigest()
