"""Taking out of the store what nothing refers to. First a plan; then each thing is looked at once more, under its lock, and removed by one rename.

A process that is killed meanwhile leaves a store that is whole, and the same command finishes. What is in use by another process stays. Pictures, sources,
models, runs and current versions of datasets are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.leftovers import heal
from clipcap_cli.storage.locks import BusyError, hold_file
from clipcap_cli.upkeep.prunable import (
    PRUNING,
    Removal,
    find_checkpoints,
    find_damaged,
    find_embeddings,
    find_evaluations,
    find_holders,
    find_images,
    find_leftovers,
    find_logs,
    find_versions,
)

LOG_DAYS = 30.0
PRUNED = ("leftovers", "images", "embeddings", "evaluations", "logs", "locks", "versions", "checkpoints", "damaged")
ONLY_IF_NAMED = ("versions", "checkpoints", "damaged")
_HEALED = 3  # folders down from the root are those that are replaced while they are there


@dataclass(frozen=True)
class Pruned:
    """What was removed, and what stayed although it was planned, with the reason."""

    removed: tuple[Removal, ...]
    kept: tuple[tuple[Removal, str], ...]


def plan(home: Home, kinds: Sequence[str] = (), *, log_days: float = LOG_DAYS, events: Listener = silent) -> list[Removal]:
    """What may go, and why. Changes nothing.

    Args:
        kinds: of `PRUNED`, only these; if nothing is said, all but those of `ONLY_IF_NAMED`.
        log_days: logs are kept for so long.
        events: are told of kinds that nobody can be sure about, because something is damaged.

    Raises:
        InputError: there is no such kind.
    """
    strangers = [kind for kind in kinds if kind not in PRUNED]
    if strangers:
        raise InputError(f"{strangers[0]!r} is nothing that can be pruned", hint=f"These can: {', '.join(PRUNED)}.")
    finders: dict[str, Callable[[Home], Iterable[Removal]]] = {
        "leftovers": find_leftovers,
        "images": find_images,
        "embeddings": find_embeddings,
        "evaluations": find_evaluations,
        "checkpoints": find_checkpoints,
        "logs": partial(find_logs, days=log_days),
        "locks": find_holders,
        "versions": find_versions,
        "damaged": find_damaged,
    }
    found: list[Removal] = []
    for kind in PRUNED:
        if kind in kinds or (not kinds and kind not in ONLY_IF_NAMED):
            try:
                found += finders[kind](home)
            except ClipcapError as error:
                events(Note(f"{kind} stay as they are: {error}", "warning"))
    return found


def carry_out(home: Home, removals: Sequence[Removal]) -> Pruned:
    """Remove what was planned, as far as nothing refers to it now and nobody is at it.

    Raises:
        BusyError: another process is pruning.
        StoreError: the store cannot be written.
    """
    removed, kept = [], []
    with hold_file(home.prepare().locks / f"{PRUNING}.lock", "the store"):
        heal(home.root, depth=_HEALED)
        for removal in removals:
            try:
                if removal.act():
                    removed.append(removal)
                else:
                    kept.append((removal, "it is in use now"))
            except FileNotFoundError:  # it is gone already
                continue
            except BusyError as error:
                kept.append((removal, error.message))
    return Pruned(tuple(removed), tuple(kept))
