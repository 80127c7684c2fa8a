"""What limits work that decodes pictures for devices: who waited for whom is measured while it goes on.

The clock of a device starts when it has done its first batch: before, its network was built.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_WORTH_S = 5.0  # seconds of measured work below which nothing is said


@dataclass(frozen=True)
class Shares:
    """Where the time of the devices went, together 1, and that of the decoding threads.

    Attributes:
        decoding: devices waited for decoded pictures.
        copying: pictures were copied to devices.
        computing: devices computed.
        taking: devices waited until their results were taken.
        decoders_waited: decoding threads had nothing to do, since devices had enough before them.
        seconds: that were measured, of all devices together.
    """

    decoding: float
    copying: float
    computing: float
    taking: float
    decoders_waited: float
    seconds: float


@dataclass
class _Device:
    begun: float
    ended: float
    waited: float = 0.0
    computed: float = 0.0
    copied: float = 0.0


@dataclass
class Effort:
    """Is told what the devices and the decoding threads did, by these threads themselves.

    Attributes:
        model: what computes, as the note calls it.
        taker: what is done with the results.
        decoders: how many threads decode.
    """

    model: str = "the encoder"
    taker: str = "keeping the results"
    decoders: int = 1
    _devices: dict[int, _Device] = field(default_factory=dict)
    _decoded: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def computed(self, device: int, *, waited: float, copied: float, seconds: float) -> None:
        """A device has done a batch: it waited for its pictures, and then took `seconds`, `copied` of them for copies to the device."""
        now = time.monotonic()
        known = self._devices.get(device)
        if known is None:
            self._devices[device] = _Device(now, now)
            return
        known.ended = now
        known.waited += waited
        known.copied += copied
        known.computed += seconds - copied

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """A thread decodes meanwhile."""
        began = time.monotonic()
        try:
            yield
        finally:
            if self._devices:
                with self._lock:
                    self._decoded += time.monotonic() - began

    def shares(self) -> Shares | None:
        """Where the time went; None while no device has done two batches."""
        devices = list(self._devices.values())
        seconds = sum(device.ended - device.begun for device in devices)
        if seconds <= 0:
            return None
        waited, copied, computed = (sum(getattr(device, name) for device in devices) / seconds for name in ("waited", "copied", "computed"))
        span = max(device.ended for device in devices) - min(device.begun for device in devices)
        decoders_waited = max(0.0, 1 - self._decoded / (span * self.decoders))
        return Shares(waited, copied, computed, max(0.0, 1 - waited - copied - computed), decoders_waited, seconds)

    def note(self) -> str | None:
        """What limits, and what would help; None where too little was done to say it."""
        shares = self.shares()
        if shares is None or shares.seconds < _WORTH_S:
            return None
        return what_limits(shares, self.model, self.taker, self.decoders)


def what_limits(shares: Shares, model: str, taker: str, decoders: int) -> str:
    """The greatest share in a sentence, and what would help."""
    greatest = max(shares.decoding, shares.copying, shares.computing, shares.taking)
    if greatest == shares.decoding:
        helps = "more --workers or smaller pictures" if decoders < cores() else "more cores, a faster disk or smaller pictures"
        return f"what limits: decoding ({model} waited {_percent(shares.decoding)} of the time); {helps} would help"
    if greatest == shares.copying:
        return f"what limits: copies to the device ({_percent(shares.copying)} of the time); a larger --batch-size would help"
    if greatest == shares.computing:
        waited = f"decoding waited {_percent(shares.decoders_waited)} of its"
        return f"what limits: {model} (it computed {_percent(shares.computing)} of the time, {waited}); more or faster devices would help"
    return f"what limits: {taker} ({model} waited for it {_percent(shares.taking)} of the time)"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %"


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
