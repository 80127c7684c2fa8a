"""Every hash of the store worked out again, and every small file read: what is not as it was written is named, with what makes it good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clipcap_cli.embeddings.checking import add_checksums, store_folders
from clipcap_cli.errors import InputError
from clipcap_cli.events import Advanced, Finished, Listener, Started, silent
from clipcap_cli.storage.home import Home
from clipcap_cli.upkeep.captioners import look_at_evaluations, look_at_models, look_at_runs
from clipcap_cli.upkeep.data import look_at_embeddings, look_at_images, look_at_pictures, look_at_weights
from clipcap_cli.upkeep.dataset_versions import look_at_datasets
from clipcap_cli.upkeep.findings import Finding, Looked, Read, size_of

PICTURES = "pictures"
_LOOKS: dict[str, Callable[[Home, Looked, Read], None]] = {
    "datasets": look_at_datasets,
    PICTURES: look_at_pictures,
    "images": look_at_images,
    "embeddings": look_at_embeddings,
    "weights": look_at_weights,
    "models": look_at_models,
    "runs": look_at_runs,
    "evaluations": look_at_evaluations,
}
VERIFIED = tuple(_LOOKS)


@dataclass(frozen=True)
class Verified:
    """How the store is: how many things were looked at, by kind, how many embeddings have no checksum, and what is not whole."""

    things: dict[str, int]
    without_checksums: int
    findings: tuple[Finding, ...]


def verify(home: Home, kinds: Sequence[str] = (), *, events: Listener = silent) -> Verified:
    """Look the store through. Nothing is changed, and others may work in it meanwhile.

    Args:
        kinds: of `VERIFIED`, only these; all but the pictures, which lie outside of the store, if nothing is said.

    Raises:
        InputError: there is no such kind.
    """
    chosen = [kind for kind in VERIFIED if kind in kinds or (not kinds and kind != PICTURES)]
    strangers = [kind for kind in kinds if kind not in VERIFIED]
    if strangers:
        raise InputError(f"{strangers[0]!r} is nothing that can be verified", hint=f"These can: {', '.join(VERIFIED)}.")
    things: dict[str, int] = {}
    found: list[Finding] = []
    without = 0
    in_store = [kind for kind in chosen if kind != PICTURES]
    total = sum(size_of(home.root / kind) for kind in in_store)
    events(Started("verify", total if len(in_store) == len(chosen) else None, "bytes"))
    try:
        for kind in chosen:
            looked = Looked()
            _LOOKS[kind](home, looked, lambda amount: events(Advanced("verify", amount)))
            things[kind] = looked.things
            found += looked.findings
            without += looked.without_checksums
    finally:
        events(Finished("verify"))
    return Verified(things, without, tuple(found))


def give_checksums(home: Home) -> int:
    """Give checksums to all embeddings that have none, as they are now.

    Returns:
        How many got one.

    Raises:
        StoreError: a store cannot be written, or is damaged.
    """
    return sum(add_checksums(home, folder) for folder in store_folders(home))
