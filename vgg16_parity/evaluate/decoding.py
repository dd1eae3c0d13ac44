"""Decodes pictures into shards of pixels, in threads, while a runtime computes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Final

import numpy as np

from vgg16_parity.evaluate.datasets.items import Item, Skipped
from vgg16_parity.evaluate.folder import RunFolder
from vgg16_parity.evaluate.pixels import Pixels, Room, prepared
from vgg16_parity.evaluate.shards import Shard
from vgg16_parity.runtimes.adapters.framework import cores
from vgg16_parity.runtimes.shards import write_array
from vgg16_spec.images.recipes import Recipe

# Shards whose pictures are decoded or wait for it: their pixels are in memory.
_AHEAD: Final = 3
_MOST_THREADS: Final = 32

Picture = Future[tuple[Pixels | Skipped, float]]


class Decoder:
    """What decodes shards, and what came of it.

    Attributes:
        seconds: that its threads have spent on pictures.
        error: what ended it; None if nothing did.
    """

    def __init__(self, folder: RunFolder, recipe: Recipe, size: int) -> None:
        self._folder, self._size = folder, size
        self._prepare = partial(_timed, recipe=recipe, size=size, room=Room())
        self._ended = Event()
        self.seconds = 0.0
        self.error: Exception | None = None

    @contextmanager
    def running(self, shards: Sequence[Shard], stop: Path) -> Iterator[None]:
        """Decode shards meanwhile, in their order; what is not done in the end is left.

        Where it cannot go on, `error` is set and the file ``stop`` appears.
        """
        thread = Thread(target=self._decode, args=(shards, stop), name="decoder")
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            self._ended.clear()

    def _decode(self, shards: Sequence[Shard], stop: Path) -> None:
        threads = min(cores() or 1, _MOST_THREADS)
        pool = ThreadPoolExecutor(threads, thread_name_prefix="decoder")
        waiting: deque[tuple[Shard, list[Picture]]] = deque()
        try:
            for shard in shards:
                waiting.append((shard, [pool.submit(self._prepare, each) for each in shard.items]))
                if len(waiting) >= _AHEAD:
                    self._write(*waiting.popleft())
                if self._ended.is_set():
                    return
            while waiting and not self._ended.is_set():
                self._write(*waiting.popleft())
        except Exception as error:
            self.error = error
            stop.write_text("decoding them has failed", encoding="utf-8")
        finally:
            pool.shutdown(cancel_futures=True)

    def _write(self, shard: Shard, pictures: Sequence[Picture]) -> None:
        """Write a shard's files, the pixels last: a worker waits for these."""
        rows: list[Pixels] = []
        skipped: dict[int, Skipped] = {}
        for place, picture in enumerate(pictures):
            if self._ended.is_set():
                return
            found, seconds = picture.result()
            self.seconds += seconds
            if isinstance(found, Skipped):
                skipped[place] = found
            else:
                rows.append(found)
        shape = (len(rows), self._size, self._size, 3)
        self._folder.write_unreadable(shard, skipped)
        write_array(self._folder.pixels(shard), np.array(rows, np.uint8).reshape(shape))


def _timed(item: Item, recipe: Recipe, size: int, room: Room) -> tuple[Pixels | Skipped, float]:
    start = time.thread_time()
    found = prepared(item, recipe, size, room)
    return found, time.thread_time() - start
