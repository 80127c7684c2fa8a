"""Keys that clients name themselves by: read from a file, kept as digests, compared in constant time, never printed."""

from __future__ import annotations

import hashlib
import hmac
import stat
from dataclasses import dataclass
from pathlib import Path

from clipcap_cli.errors import InputError
from clipcap_cli.storage.reading import read_small

_LONGEST_FILE = 1 << 20
_SHORTEST_KEY = 16  # characters; a shorter one could be guessed
_MAKE_ONE = 'python -c "import secrets; print(secrets.token_urlsafe(32))" makes one.'
_SCHEME = "bearer"


@dataclass(frozen=True)
class Keys:
    """The keys of a server, as digests; none of them can be had back."""

    digests: tuple[bytes, ...]

    def allow(self, authorization: str | None) -> bool:
        """Whether the value of an Authorization header has one of the keys. It takes as long whichever it is, and if it is none."""
        scheme, _, key = (authorization or "").partition(" ")
        digest = _digest(key.strip())
        found = [hmac.compare_digest(digest, known) for known in self.digests]
        return any(found) and scheme.lower() == _SCHEME


def read_keys(path: Path) -> Keys:
    """The keys of a file: one a line; empty lines and lines that begin with # say nothing.

    Raises:
        InputError: it cannot be read, has no key in it, or one that is too short or could not be sent.
    """
    try:
        text = read_small(path, _LONGEST_FILE)
    except FileNotFoundError as error:
        raise InputError("there is no such file of keys", where=str(path), hint=_MAKE_ONE) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"this file of keys cannot be read ({_reason(error)})", where=str(path), hint="It is text, with one key a line.") from error
    digests = []
    for number, line in enumerate(text.splitlines(), 1):
        key = line.strip()
        if not key or key.startswith("#"):
            continue
        if len(key) < _SHORTEST_KEY:
            raise InputError(f"this key has {len(key)} characters, and needs {_SHORTEST_KEY} or more", where=f"{path}:{number}", hint=_MAKE_ONE)
        if not all("!" <= character <= "~" for character in key):
            raise InputError("this key has a space or a character that a header cannot carry", where=f"{path}:{number}", hint=_MAKE_ONE)
        digests.append(_digest(key))
    if not digests:
        raise InputError("this file has no key in it", where=str(path), hint=_MAKE_ONE)
    return Keys(tuple(digests))


def readable_by_others(path: Path) -> bool:
    """Whether other users of this machine may read the file, as far as its mode tells."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not text in UTF-8"
