"""Numbers and messages as people read them."""

from __future__ import annotations

from datetime import datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def count(number: int, noun: str) -> str:
    """`1 picture`, `1,200 pictures`, `2 sketches`."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}es" if noun.endswith(("s", "ch")) else f"{noun}s"
    return f"{number:,} {plural}"


def size(amount: float) -> str:
    """`950 bytes`, `18.8 MB`: thousands, as disks are sold."""
    if amount < 1000:
        return f"{amount:.0f} bytes"
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 1000:
            return f"{amount:.3g} {unit}"
    return f"{amount / 1000:.3g} TB"


def duration(seconds: float) -> str:
    """`8 s`, `2 min 5 s`, `3 h 20 min`."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"


def moment(iso: str) -> str:
    """An ISO time as `2024-05-01 12:30` of this place's clock; what is no time stays as it is."""
    try:
        return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return iso


def in_words(message: str) -> str:
    """What pydantic says of a value, to be read behind the value's name: `input should be a valid number`."""
    told = message.removeprefix("Value error, ").partition(", unable to parse")[0]
    return told[:1].lower() + told[1:]


def sentences(first: str, second: str) -> str:
    """What is so, and then what to do, on one line."""
    return f"{first}. {second}" if second else first
