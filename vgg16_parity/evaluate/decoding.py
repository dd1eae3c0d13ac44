"""Decodes pictures into shards of pixels, in threads, while a runtime computes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import numpy as np

from vgg16_parity.evaluate.datasets.items import Item, Skipped
from vgg16_parity.evaluate.folder import RunFolder
from vgg16_parity.evaluate.pixels import Pixels, Room, prepared, prepared_for_views
from vgg16_parity.evaluate.shards import Shard
from vgg16_parity.runtimes.adapters.framework import cores
from vgg16_parity.runtimes.shards import write_array, write_arrays
from vgg16_spec.images.recipes import Recipe
from vgg16_spec.images.views import MOST_PIXELS, Views

# Pictures whose pixels are in memory or wait for it, before those of the shard that is written: so
# many of the network's size, or as many as have at most so many pixels.
_AHEAD: Final = 128
_MOST_PIXELS_AHEAD: Final = 64_000_000
_MOST_THREADS: Final = 32

# The pixels of the network's size, or at each scale.
Prepared = Pixels | tuple[Pixels, ...] | Skipped
Picture = Future[tuple[Prepared, float]]


class _Ended(Exception):
    """Nobody needs what is not decoded yet."""


class Decoder:
    """What decodes shards, and what came of it.

    Attributes:
        seconds: that its threads have spent on pictures.
        error: what ended it; None if nothing did.
    """

    def __init__(
        self, folder: RunFolder, recipe: Recipe, size: int, views: Views | None = None
    ) -> None:
        self._folder, self._size, self._views = folder, size, views
        room = Room()
        if views is None:
            self._prepare = partial(_timed, partial(prepared, recipe=recipe, size=size, room=room))
            self._ahead = _AHEAD
        else:
            by_view = partial(prepared_for_views, recipe=recipe, views=views, room=room)
            self._prepare = partial(_timed, by_view)
            self._ahead = max(1, _MOST_PIXELS_AHEAD // (MOST_PIXELS * len(views.scales)))
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
        items = chain.from_iterable(shard.items for shard in shards)
        pictures = self._in_order(pool, items)
        try:
            for shard in shards:
                self._write(shard, islice(pictures, len(shard.items)))
        except _Ended:
            pass
        except Exception as error:
            self.error = error
            stop.write_text("decoding them has failed", encoding="utf-8")
        finally:
            pool.shutdown(cancel_futures=True)

    def _in_order(self, pool: ThreadPoolExecutor, items: Iterable[Item]) -> Iterator[Prepared]:
        """What each image is prepared to, while those that follow it are decoded."""
        waiting: deque[Picture] = deque()
        for item in items:
            waiting.append(pool.submit(self._prepare, item))
            if len(waiting) > self._ahead:
                yield self._result(waiting.popleft())
        while waiting:
            yield self._result(waiting.popleft())

    def _result(self, picture: Picture) -> Prepared:
        if self._ended.is_set():
            raise _Ended
        found, seconds = picture.result()
        self.seconds += seconds
        return found

    def _write(self, shard: Shard, pictures: Iterable[Prepared]) -> None:
        """Write a shard's files, the pixels last: a worker waits for these."""
        skipped: dict[int, Skipped] = {}

        def readable() -> Iterator[Any]:
            for place, found in enumerate(pictures):
                if isinstance(found, Skipped):
                    skipped[place] = found
                else:
                    yield found
            self._folder.write_unreadable(shard, skipped)

        if self._views is not None:
            write_arrays(self._folder.pixels(shard), chain.from_iterable(readable()))
            return
        shape = (-1, self._size, self._size, 3)
        rows = np.array(list(readable()), np.uint8).reshape(shape)
        write_array(self._folder.pixels(shard), rows)


def _timed(prepare: Callable[[Item], Prepared], item: Item) -> tuple[Prepared, float]:
    start = time.thread_time()
    found = prepare(item)
    return found, time.thread_time() - start
