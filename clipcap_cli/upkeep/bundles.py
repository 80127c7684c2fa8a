"""Whether a folder holds the files that its list of hashes names: a bundle's captioner.json, a checkpoint's checkpoint.json."""

from __future__ import annotations

import json
from pathlib import Path

from clipcap_cli.storage.hashing import sha256_quietly
from clipcap_cli.upkeep.findings import Read

_TRIES = 3  # of looking at a folder that changes places with a newer one meanwhile


def differences(folder: Path, listing: str, read: Read) -> list[tuple[Path, str]]:
    """Where `folder` is not as its file `listing` says, and why. A folder that is replaced or removed meanwhile is whole at each instant, and no finding."""
    found: list[tuple[Path, str]] = []
    for _ in range(_TRIES):
        before = _text(folder / listing)
        found = _compare(folder, folder / listing, before, read)
        if not found or before == _text(folder / listing):
            return found if folder.is_dir() else []
    return found


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _compare(folder: Path, listing: Path, text: str | None, read: Read) -> list[tuple[Path, str]]:
    if text is None:
        return [(listing, "the file is missing or cannot be read")]
    try:
        files = json.loads(text)["files"]
        wanted = {str(name): str(sha256) for name, sha256 in files.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return [(listing, f"the file is not as clipcap writes it ({type(error).__name__}: {error})")]
    found = []
    for name, expected in wanted.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            found.append((listing, f"it names a file outside of its folder: {name!r}"))
            continue
        try:
            if sha256_quietly(path, read) != expected:
                found.append((path, "the file is not as it was written"))
        except FileNotFoundError:
            found.append((path, "the file is missing"))
        except OSError as error:
            found.append((path, f"the file cannot be read ({error.strerror or error})"))
    return found
