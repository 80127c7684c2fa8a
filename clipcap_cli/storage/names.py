"""Names of datasets, models and runs: what they may be, which are free, which one was meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from rapidfuzz import fuzz, process
from rapidfuzz.distance import OSA

from clipcap_cli.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices of Windows, with any ending
_MAKING = {"dataset": "clipcap dataset add FOLDER", "run": "clipcap train RECIPE", "model": "clipcap train RECIPE", "model or run": "clipcap train RECIPE"}
# How alike two words must be for one to be offered instead of the other: by slips of typing (an exchange of neighbours is one), else by what is left out.
_SLIPS, _PART = 0.5, 80


def check_name(name: str, kind: str) -> str:
    """`name`, if it can name a `kind` ("dataset").

    Raises:
        InputError: it is empty, too long, holds what a folder's name should not, or could not be moved to another system.
    """
    if _RESERVED.fullmatch(name):
        raise InputError(f"{name!r} cannot name a {kind}: it is a device on Windows", hint=f"Choose another name, such as {name.partition('.')[0]}-1.")
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a {kind}",
            hint="Use letters, digits, '.', '-' and '_', up to 100 of them; begin with a letter or digit, and do not end with '.'.",
        )
    return name


def is_name(name: str) -> bool:
    """Whether `name` is one, and no path that leads elsewhere."""
    return _NAME.fullmatch(name) is not None


def named_within(folder: Path, text: str) -> str | None:
    """The name of what lies in a folder of the store, where it is meant by "runs/food" or by its own folder; None where `text` is neither."""
    path = Path(text)
    with suppress(RuntimeError):  # ~NOBODY/x
        path = path.expanduser()
    return path.name if path.parent.as_posix() == folder.name or path.absolute().parent == folder else None


def name_from(text: str) -> str:
    """A name as near to `text` as the rules allow: "My Food!" becomes "My-Food"."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:100].rstrip(".") or "data"
    return f"data-{name}" if _RESERVED.fullmatch(name) else name


def free_name(folder: Path, name: str) -> str:
    """`name`, or `name-2`, `name-3`, … if that is taken in `folder`."""
    number, free = 1, name
    while (folder / free).exists():
        number += 1
        free = f"{name}-{number}"
    return free


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be."""
    choices = list(known)
    found = process.extractOne(word, choices, scorer=OSA.normalized_similarity, score_cutoff=_SLIPS)
    found = found or process.extractOne(word, choices, scorer=fuzz.WRatio, score_cutoff=_PART)
    return found[0] if found else None


def unknown(kind: str, name: str, known: Iterable[str], *, listing: str) -> InputError:
    """The error for a name that is not there; `listing` is the command that lists what is."""
    known = sorted(known)
    meant = nearest(name, known)
    if meant:
        hint = f"Did you mean {meant!r}? `{listing}` lists them."
    elif known:
        hint = f"There are: {', '.join(known[:10])}{' …' if len(known) > 10 else ''}."
    else:
        hint = f"There is none yet; `{_MAKING.get(kind, listing)}` makes one."
    return InputError(f"there is no {kind} named {name!r}", hint=hint)
