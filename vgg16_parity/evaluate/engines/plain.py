"""Decodes and computes on this machine: one worker process after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Final

from vgg16_parity.evaluate.computing import Engine, Setting, Update
from vgg16_parity.evaluate.decoding import Decoder
from vgg16_parity.evaluate.shards import Shard
from vgg16_parity.runtimes.job import Job, Record
from vgg16_parity.runtimes.process import work
from vgg16_parity.runtimes.shards import done_file, stop_file

_POLL_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Plain:
    """Threads of this process decode while a worker computes what is there."""

    @contextmanager
    def opened(self, setting: Setting) -> Iterator[Engine]:
        """As ``vgg16_parity.evaluate.computing.Engines``."""
        yield _Plain(setting)


class _Plain:
    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._decoder = Decoder(
            setting.folder, setting.checkpoint.recipe, setting.size, setting.views
        )

    @property
    def decode_seconds(self) -> float:
        return self._decoder.seconds

    def compute(self, job: Job, results: Mapping[Shard, Path]) -> Record:
        """As `Engine`: have a worker compute, while what is lacking of pixels is decoded."""
        setting, plan = self._setting, Path(job.plan)
        paths = {shard: setting.folder.pixels(shard) for shard in results}
        undecoded = [
            shard
            for shard, file in paths.items()
            if not (file.exists() and setting.folder.unreadable(shard).exists())
        ]
        setting.plan(
            tuple((str(paths[s].resolve()), str(results[s].resolve())) for s in results)
        ).write(plan)
        total = sum(len(shard.items) for shard in results)
        with self._shown(job, total), self._decoder.running(undecoded, stop_file(plan)):
            record = work(job, timeout=setting.timeout)
        if self._decoder.error is not None:
            raise self._decoder.error
        return record

    @contextmanager
    def _shown(self, job: Job, total: int) -> Iterator[None]:
        """Show how many images a worker has computed."""
        ended, file = Event(), done_file(job)

        def follow(update: Update) -> None:
            while not ended.wait(_POLL_SECONDS):
                with suppress(OSError, ValueError):  # not there yet, or being written
                    update(int(file.read_text(encoding="utf-8")), total)

        with self._setting.counting(job.runtime.name, "images") as update:
            update(0, total)
            thread = Thread(target=follow, args=(update,), name="progress")
            thread.start()
            try:
                yield
                update(total, total)  # those that are no pictures too
            finally:
                ended.set()
                thread.join()
