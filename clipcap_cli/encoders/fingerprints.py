"""Names for encoders by content: the same weights and preprocessing have the same fingerprint, wherever the file lies and whatever it is called."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from clipcap_cli.encoders.preprocessing import Preprocessing
from clipcap_cli.errors import StoreError
from clipcap_cli.storage.atomic import write_json
from clipcap_cli.storage.hashing import sha256_of_bytes, sha256_of_file
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.reading import read_json

_DIGITS = 16


def fingerprint_of(family: str, weights: Iterable[str], preprocessing: Preprocessing) -> str:
    """The fingerprint of an encoder.

    Args:
        family: the code that runs the weights ("openai").
        weights: SHA-256 of each file that the network is made of, in a fixed order.
    """
    content = {"family": family, "weights": list(weights), "preprocessing": asdict(preprocessing)}
    return sha256_of_bytes(json.dumps(content, sort_keys=True).encode())[:_DIGITS]


def file_hash(path: Path, home: Home) -> str:
    """The SHA-256 of a file, remembered in the store by path, size and time of change: hashing a gigabyte takes seconds.

    Raises:
        OSError: the file cannot be read.
    """
    path = path.resolve()
    stat = path.stat()
    known = _remembered(home)
    if isinstance(entry := known.get(str(path)), dict) and (entry.get("size"), entry.get("mtime_ns")) == (stat.st_size, stat.st_mtime_ns):
        return str(entry.get("sha256"))
    sha256 = sha256_of_file(path)
    with suppress(StoreError, UnicodeEncodeError):  # a store that cannot be written, or a name that is no text, only makes this slower
        home.prepare()
        write_json(_memory(home), {**known, str(path): {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256}})
    return sha256


def _memory(home: Home) -> Path:
    return home.weights / "hashes.json"


def _remembered(home: Home) -> dict[str, object]:
    try:
        known = read_json(_memory(home))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
