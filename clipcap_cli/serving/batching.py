"""Pictures of many requests become batches: threads decode, and one thread encodes and writes what is ready.

A batch begins when the computing thread is free and enough pictures are ready, or no more are to be expected, or they were waited for long enough. Expected are
those that are being received, and as many as were answered last: large batches cost less a picture, and whoever was answered may send the next picture at once.
While a batch is computed the next pictures are received and decoded. Pictures of one batch have the same model and the same settings. What nobody waits for any
more is dropped before it costs anything, and what was taken is finished when the server stops.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clipcap_cli.serving.metrics import Metrics
from clipcap_cli.serving.settings import Settings

if TYPE_CHECKING:
    from clipcap_cli.captioner.captioner import Caption
    from clipcap_cli.encoders.base import Pixels
    from clipcap_cli.recipe.schema import Decode
    from clipcap_cli.serving.models import Model

_SMOOTHING = 0.2  # weight of a new measurement in the time that a picture takes


class QueueFullError(Exception):
    """There is no room for so many pictures; `wait_s` is how long it may take until there is."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = wait_s


@dataclass(eq=False)
class Job:
    """A picture that is to be captioned; cancelling `caption` drops it.

    Attributes:
        read: gives the bytes of its file; called in another thread.
        number: its place in its request; with `seed` it fixes what is drawn.
        caption: its caption, or the error of this picture.
    """

    model: Model
    decode: Decode
    seed: int
    number: int
    read: Callable[[], bytes]
    caption: asyncio.Future[Caption] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    pixels: Pixels | None = None
    ready_at: float = 0.0

    @property
    def group(self) -> tuple[str, Decode, int]:
        """What the pictures of one batch have in common."""
        return self.model.name, self.decode, self.seed


class Batcher:
    """Takes jobs, and gives them their captions."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._decoders = ThreadPoolExecutor(_cores(), "clipcap-decode")
        self._computing = ThreadPoolExecutor(1, "clipcap-compute")
        self._ready: deque[Job] = deque()
        self._changed = asyncio.Event()
        self._waiting = 0  # pictures that were taken and are not settled
        self._closing = False
        self._answered = 0  # pictures of the batch before: whoever sent them may send more
        self._free_since = 0.0
        self._expected = 0  # requests that are being received
        self._picture_s = 0.1  # that a picture takes, lately; a guess until the first was captioned
        self._decoding: set[asyncio.Task[None]] = set()
        self._runner: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Pictures that were taken and have no caption yet."""
        return self._waiting

    def start(self) -> None:
        """Begin to work; in the loop that jobs come from."""
        self._runner = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Caption what was taken, and end."""
        self._closing = True
        self._changed.set()
        if self._runner:
            await self._runner
        self._decoders.shutdown(wait=False)
        self._computing.shutdown(wait=False)

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """While a request is received, a batch that could have its pictures waits a little."""
        self._expected += 1
        try:
            yield
        finally:
            self._expected -= 1
            self._changed.set()

    def check_room(self, pictures: int = 1) -> None:
        """Whether so many pictures would be taken now.

        Raises:
            QueueFullError: they would not.
        """
        if self._waiting + pictures > self._settings.queue:
            raise QueueFullError(self._waiting * self._picture_s)

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take all of these, or none.

        Raises:
            QueueFullError: there is no room for them.
        """
        self.check_room(len(jobs))
        self._count(len(jobs))
        for job in jobs:
            task = asyncio.create_task(self._decode(job))
            self._decoding.add(task)
            task.add_done_callback(self._decoded)

    async def _decode(self, job: Job) -> None:
        try:
            job.pixels = await asyncio.get_running_loop().run_in_executor(self._decoders, self._prepare, job)
        except Exception as error:
            self._settle(job, error)
            return
        job.ready_at = time.monotonic()
        self._ready.append(job)
        self._changed.set()

    def _decoded(self, task: asyncio.Task[None]) -> None:
        self._decoding.discard(task)
        self._changed.set()

    def _prepare(self, job: Job) -> Pixels | None:
        if job.caption.done():
            return None
        with self._metrics.stages.labels("decode").time():
            return job.model.prepare(job.read(), self._settings.limits.pixels)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting or not self._closing:
            self._changed.clear()
            batch = self._take()
            if batch:
                began = time.monotonic()
                results = await loop.run_in_executor(self._computing, self._compute, batch)
                self._picture_s += _SMOOTHING * ((time.monotonic() - began) / len(batch) - self._picture_s)
                for job, result in zip(batch, results, strict=True):
                    self._settle(job, result)
                self._answered, self._free_since = len(batch), time.monotonic()
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), self._patience())

    def _patience(self) -> float | None:
        """Seconds for which others are still waited for; None where no picture waits for them."""
        return max(0.0, max(self._ready[0].ready_at, self._free_since) + self._settings.max_wait_s - time.monotonic()) if self._ready else None

    def _take(self) -> list[Job]:
        """The next batch, if there is one by now: of those that can go with the picture that came first."""
        for job in [job for job in self._ready if job.caption.done()]:
            self._ready.remove(job)
            self._settle(job, None)
        if not self._ready:
            return []
        batch = [job for job in self._ready if job.group == self._ready[0].group][: self._settings.max_batch]
        expected = self._expected or self._decoding or len(batch) < self._answered
        if len(batch) < self._settings.max_batch and expected and self._patience():
            return []
        taken = set(batch)
        self._ready = deque(job for job in self._ready if job not in taken)
        return batch

    def _compute(self, batch: list[Job]) -> Sequence[Caption | Exception]:
        self._metrics.batches.observe(len(batch))
        try:
            return self._captions(batch)
        except Exception as error:
            if len(batch) == 1:
                return [error]
        # One picture that cannot be captioned is no reason for the others to have no caption.
        return [result for job in batch for result in self._compute([job])]

    def _captions(self, batch: list[Job]) -> list[Caption]:
        first = batch[0]
        with self._metrics.stages.labels("encode").time():
            vectors = first.model.encode([job.pixels for job in batch if job.pixels is not None])
        with self._metrics.stages.labels("write").time():
            return first.model.write(vectors, first.decode, numbers=[job.number for job in batch], seed=first.seed)

    def _settle(self, job: Job, result: Caption | Exception | None) -> None:
        self._count(-1)
        job.pixels = None
        if job.caption.done():
            return
        if isinstance(result, Exception):
            job.caption.set_exception(result)
        elif result is not None:
            job.caption.set_result(result)

    def _count(self, change: int) -> None:
        self._waiting += change
        self._metrics.queued.set(self._waiting)
        self._changed.set()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
