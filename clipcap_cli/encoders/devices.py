"""Several devices at once: which of them are meant, and what is said when one of them fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from clipcap_cli.encoders.precision import choose_device
from clipcap_cli.errors import InputError, MissingError, UsageError
from clipcap_cli.words import count

Devices = int | str | Sequence[str]
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")  # what torch says, in errors of different kinds on different devices
_BROKEN = "AcceleratorError"  # torch's, by name: older releases have none, and this module need not load torch


def choose_devices(wanted: Devices | None, *, device: str = "auto") -> list[str]:
    """The devices that `wanted` means, by name. One that is named twice gets two copies of what computes.

    Args:
        wanted: how many accelerators; "auto" for all of them (one CPU where there are none); or a list of names, as a list or with commas. None: `device`.
        device: the one device that was asked for instead.

    Raises:
        UsageError: both were asked for.
        InputError: there are not as many, or no such device.
        MissingError: torch knows such a device, but this machine has none.
    """
    if wanted is None:
        return [device]
    if device != "auto":
        raise UsageError(f"device {device!r} and devices {wanted!r} exclude each other: the one names one, the other several", hint="Leave one of them out.")
    text = wanted if isinstance(wanted, str) else str(wanted) if isinstance(wanted, int) else ",".join(wanted)
    there = devices_here()
    if text == "auto":
        return there
    if text.lstrip("-").isdigit():
        return _first(int(text), there)
    return [_named(name.strip(), there) for name in text.split(",")]


def devices_here() -> list[str]:
    """The accelerators of this machine; its CPU where it has none that torch can use."""
    import torch

    if torch.cuda.is_available():
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [str(choose_device())]


def _first(many: int, there: list[str]) -> list[str]:
    if not 1 <= many <= len(there):
        hint = f"Say a number up to {len(there)}, auto, or a list; a device that is named twice, as in {there[0]},{there[0]}, has two copies."
        raise InputError(f"this machine has {count(len(there), 'device')}, {', '.join(there)}, and {many} were asked for", where="devices", hint=hint)
    return there[:many]


def _named(name: str, there: list[str]) -> str:
    hint = f"Here there is: {', '.join(dict.fromkeys([*there, 'cpu']))}."
    if name in ("", "auto"):
        what = "one name in the list is empty" if name == "" else f"{name!r} is no name of a device in a list"
        raise InputError(what, where="devices", hint=hint)
    try:
        device = choose_device(name)
    except InputError as error:
        raise InputError(error.message, where="devices", hint=hint) from error
    except MissingError as error:
        raise MissingError(error.message, where="devices", hint=hint) from error
    return "cuda:0" if str(device) == "cuda" else str(device)


@contextmanager
def telling_device(device: str, pictures: int) -> Iterator[None]:
    """A device that fails while it computes `pictures` at once is told in a sentence.

    Raises:
        InputError: its memory was too little, or it broke down.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
            hint = "Choose a smaller --batch-size, or leave this device to the others."
            raise InputError(f"the memory of {device} is too little for {count(pictures, 'picture')} at once", where=device, hint=hint) from error
        if type(error).__name__ == _BROKEN:
            hint = "Type the same line without this device, or look at its driver."
            raise InputError(f"{device} broke down: {str(error).splitlines()[0]}", where=device, hint=hint) from error
        raise
