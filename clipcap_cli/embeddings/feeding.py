"""One stream of decoded pictures for any number of devices: threads decode, one thread a device computes, results come out in the order of the pictures.

Threads are enough: Pillow lets go of the interpreter while it decodes and resizes, and the network while it computes. Only a few batches a device exist at any
time, so memory does not grow with the number of pictures. A batch is always made of the same pictures, whichever device takes it: the one that is free first.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import numpy as np

from clipcap_cli.embeddings.limits import Effort, cores
from clipcap_cli.embeddings.preparing import Source, prepare
from clipcap_cli.encoders.base import ImageEncoder, Pixels
from clipcap_cli.encoders.devices import telling_device
from clipcap_cli.errors import ClipcapError

Result = TypeVar("Result")
_DECODED_AHEAD = 2  # batches that are decoded, or being decoded, beyond one for each device
_AHEAD_OF_A_DEVICE = 2  # batches that are computed, or wait to be, for each device: one is taken while the next is computed
_A_DECODER = 2  # pictures ahead for each decoding thread at least, so that small batches leave none without work


class _Batch:
    """Pictures that go through a device at once. The thread that decodes the last of them puts them together, so that no device waits for that.

    Attributes:
        numbers: of the pictures.
        pixels: of those that can be read, together, in their order; None where there are none. Known when all are decoded.
        refused: why the others cannot be read.
    """

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers
        self.pixels: Future[Pixels | None] = Future()
        self.refused: dict[int, ClipcapError] = {}
        self._decoded: dict[int, Pixels] = {}
        self._lock = threading.Lock()

    def put(self, number: int, result: Pixels | ClipcapError) -> None:
        """A picture is decoded."""
        with self._lock:
            if isinstance(result, ClipcapError):
                self.refused[number] = result
            else:
                self._decoded[number] = result
            complete = len(self.refused) + len(self._decoded) == len(self.numbers)
        if complete:
            self.pixels.set_result(np.stack([self._decoded.pop(number) for number in self.readable]) if self._decoded else None)

    @property
    def readable(self) -> list[int]:
        """The numbers of the pictures that can be read."""
        return [number for number in self.numbers if number not in self.refused]


@dataclass(frozen=True)
class Lane(Generic[Result]):
    """A device and what computes on it.

    Attributes:
        encoder: the copy there; its preprocessing makes the pixels.
        compute: pixels [n, image_size, image_size, 3] and the numbers of their pictures -> n results.
    """

    encoder: ImageEncoder
    compute: Callable[[Pixels, list[int]], Iterable[Result]]

    @property
    def device(self) -> str:
        """Its name, for messages."""
        return str(getattr(self.encoder, "device", "this device"))

    @property
    def copied_s(self) -> float:
        """Seconds that copies to the device have taken, where its encoder counts them."""
        return float(getattr(self.encoder, "copied_s", 0.0))


def feed(
    sources: Iterable[Source | str],
    lanes: Sequence[Lane[Result]],
    *,
    batch_size: int,
    workers: int | None = None,
    expected_ids: Sequence[str] | None = None,
    effort: Effort | None = None,
) -> Generator[tuple[int, Result | ClipcapError], None, None]:
    """What the devices make of each picture, in order; of one that cannot be read, the error.

    Args:
        sources: paths, bytes of files, Pillow images or arrays; taken as they are needed.
        lanes: the devices, with copies of one and the same network.
        batch_size: pictures that go through a device at once.
        workers: threads that read and decode; None for one a core: more could only wait, but for disks far away.
        expected_ids: the image id that the bytes of each source must have.
        effort: is told who waited for whom.

    Yields:
        Pairs of the source's number and its result or its ClipcapError.

    Raises:
        ClipcapError: a device failed, or its encoder (its weights are missing). Results of the batches before have been given by then.
    """
    effort = effort or Effort()
    effort.decoders = workers or cores()
    decoded_ahead = max(_DECODED_AHEAD + len(lanes), -(-_A_DECODER * effort.decoders // batch_size))  # batches
    ids = iter(expected_ids) if expected_ids is not None else None
    numbered = ((number, source, next(ids) if ids else None) for number, source in enumerate(sources))
    preprocess = lanes[0].encoder.preprocess
    mine = threading.local()
    untaken = iter(enumerate(lanes))

    def take_lane() -> None:
        mine.number, mine.lane = next(untaken)

    def decode(batch: _Batch, source: Source | str, number: int, image_id: str | None) -> None:
        try:
            with effort.decoding():
                batch.put(number, prepare(source, number, preprocess, image_id))
        except BaseException as error:  # whatever it is, it comes out where the batch is asked for
            batch.pixels.set_exception(error)

    failed: list[int] = []  # the first pictures of batches that a device failed at

    def compute(batch: _Batch) -> list[tuple[int, Result | ClipcapError]]:
        if any(number < batch.numbers[0] for number in failed):
            return []  # whoever asks is told of that one, and never comes to this one
        try:
            return computed(batch)
        except BaseException:
            failed.append(batch.numbers[0])
            raise

    def computed(batch: _Batch) -> list[tuple[int, Result | ClipcapError]]:
        lane: Lane[Result] = mine.lane
        asked = time.monotonic()
        pixels = batch.pixels.result()
        began, copied = time.monotonic(), lane.copied_s
        results = _results(lane, batch, pixels)
        effort.computed(mine.number, waited=began - asked, copied=lane.copied_s - copied, seconds=time.monotonic() - began)
        return results

    with ThreadPoolExecutor(effort.decoders, "clipcap-decode") as decoders, ThreadPoolExecutor(len(lanes), "clipcap-device", take_lane) as devices:
        decoding: deque[_Batch] = deque()
        computing: deque[tuple[_Batch, Future[list[tuple[int, Result | ClipcapError]]]]] = deque()

        def decode_more() -> None:
            while len(decoding) < decoded_ahead and (pictures := list(islice(numbered, batch_size))):
                decoding.append(batch := _Batch([number for number, _, _ in pictures]))
                for number, source, image_id in pictures:
                    decoders.submit(decode, batch, source, number, image_id)

        try:
            decode_more()
            while decoding or computing:
                if decoding:
                    batch = decoding.popleft()
                    computing.append((batch, devices.submit(compute, batch)))
                    decode_more()
                if len(computing) >= _AHEAD_OF_A_DEVICE * len(lanes) or not decoding:
                    yield from computing[0][1].result()
                    computing.popleft()
        finally:
            decoders.shutdown(cancel_futures=True)
            for batch, _ in computing:  # what is not decoded now never will be
                batch.pixels.cancel()
            devices.shutdown(cancel_futures=True)


def _results(lane: Lane[Result], batch: _Batch, pixels: Pixels | None) -> list[tuple[int, Result | ClipcapError]]:
    made: Iterable[Result] = ()
    if pixels is not None:
        with telling_device(lane.device, len(pixels)):
            made = list(lane.compute(pixels, batch.readable))
    results = iter(made)
    return [(number, batch.refused[number] if number in batch.refused else next(results)) for number in batch.numbers]
