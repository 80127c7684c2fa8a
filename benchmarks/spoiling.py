"""Ways to spoil a good file: its bytes, or what a JSON or YAML document says."""

from __future__ import annotations

import copy
import json
import random
import struct
from typing import Any

# What nobody honest writes in the place of a value.
ODD: tuple[Any, ...] = (
    None,
    True,
    "",
    "../../../../etc/passwd",
    "/dev/zero",
    "CON",
    "a\x1b[2J\u202eb\0",
    "\ud800",
    "x" * 5_000,
    0,
    -1,
    2**31,
    2**63,
    10**30,
    0.5,
    float("nan"),
    float("inf"),
    -1e308,
    [],
    {},
    [[[[[]]]]],
    ["../x", None, -1],
    {"format": 10**9},
)
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)
_WHOLE = (b"", b"\0", b"\xff" * 100, b"[" * 50_000, b'{"a":' * 50_000, b"PK\x03\x04", b"\x80\x04.", b"9" * 10_000, b"\xef\xbb\xbf", b"null", b"{}", b"[]")


def spoilt_bytes(data: bytes, numbers: random.Random) -> bytes:
    """The file with bits turned, cut off, with parts repeated, left out or replaced, or with a number that lies."""
    if not data:
        return bytes(numbers.randrange(100))
    made = bytearray(data)
    place = numbers.randrange(len(made))
    match numbers.randrange(8):
        case 0:
            for _ in range(numbers.choice((1, 1, 2, 8, 64))):
                made[numbers.randrange(len(made))] ^= 1 << numbers.randrange(8)
        case 1:
            del made[place:]
        case 2:
            del made[place : place + numbers.randrange(1, 64)]
        case 3:
            made[place:place] = made[place : place + numbers.randrange(1, 256)] * numbers.choice((1, 2, 50))
        case 4:
            made[place : place + 16] = numbers.randbytes(16)
        case 5:
            number = struct.pack(numbers.choice("<>") + "Q", numbers.choice(_NUMBERS))
            width = numbers.choice((1, 2, 4, 8))
            made[place : place + width] = number[:width]
        case 6:  # near the beginning and the end, where headers and footers are
            place = numbers.choice((place % 64, len(made) - 1 - place % 64)) % len(made)
            made[place] = numbers.randrange(256)
        case 7:
            return numbers.choice(_WHOLE) if numbers.random() < 0.2 else bytes(made[place:])
    return bytes(made)


def spoilt_json(data: bytes, numbers: random.Random) -> bytes:
    """The document with odd values in some places, or keys that are gone, doubled or strange; now and then its bytes are spoilt."""
    try:
        value = json.loads(data)
    except ValueError:
        return spoilt_bytes(data, numbers)
    if numbers.random() < 0.3 or not isinstance(value, dict | list):
        return spoilt_bytes(data, numbers)
    for _ in range(numbers.choice((1, 1, 1, 2, 4))):
        _change(value, numbers)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def spoilt_lines(data: bytes, numbers: random.Random) -> bytes:
    """Lines of JSON, one of which is spoilt; or all of the bytes."""
    lines = data.splitlines(keepends=True)
    if not lines or numbers.random() < 0.3:
        return spoilt_bytes(data, numbers)
    number = numbers.randrange(len(lines))
    return b"".join([*lines[:number], spoilt_json(lines[number].rstrip(b"\n"), numbers) + b"\n", *lines[number + 1 :]])


def spoilt_yaml(data: bytes, numbers: random.Random) -> bytes:
    """A YAML document of which a value is odd; or its bytes are."""
    import yaml

    if numbers.random() < 0.4:
        return spoilt_bytes(data, numbers)
    value = yaml.safe_load(data)
    _change(value, numbers)
    return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")


def _change(value: Any, numbers: random.Random) -> None:
    """Change one place of a tree of lists and objects."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = numbers.choice(keys)
        below = value[key]
        if isinstance(below, dict | list) and below and numbers.random() < 0.7:
            value = below
            continue
        match numbers.randrange(6):
            case 0 if isinstance(value, dict):
                del value[key]
            case 1 if isinstance(value, dict):
                value[str(numbers.choice(ODD))[:50]] = value.pop(key)
            case 2 if isinstance(below, str) and 0 < len(below) < 1_000:
                value[key] = below * numbers.choice((2, 1_000))
            case _:
                value[key] = copy.deepcopy(numbers.choice(ODD))
        return
