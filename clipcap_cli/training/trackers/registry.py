"""From the names of trackers to trackers that follow a run, and what happens when one fails.

Third parties add theirs through the entry-point group `clipcap.trackers`: the name of the entry point is what `train.trackers` names, its object is called
without arguments and gives a `Tracker`. None is loaded before a recipe names it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol

from clipcap_cli.errors import InputError, MissingError
from clipcap_cli.events import Listener, Note
from clipcap_cli.storage.names import nearest

GROUP = "clipcap.trackers"
_OWN = {
    "tensorboard": "clipcap_cli.training.trackers.adapters:TensorBoard",
    "trackio": "clipcap_cli.training.trackers.adapters:Trackio",
    "wandb": "clipcap_cli.training.trackers.adapters:Wandb",
}


class Tracker(Protocol):
    """Is told how one run goes. Whatever a method raises is a warning to the user, and the tracker is left alone from then on."""

    def start(self, run: str, folder: Path, recipe: Mapping[str, Any], step: int) -> None:
        """A run begins.

        Args:
            run: its name.
            folder: its folder; what the tracker writes goes in there if it can.
            recipe: everything that it depends on; plain JSON values.
            step: of a run that goes on, the steps made before: what was told of later ones is told again. 0 of a new run.
        """

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Figures at a step: loss, lr, … every few steps; a validation's score and loss beside them."""

    def finish(self) -> None:
        """The run has ended, however it has."""


def load_trackers(names: Sequence[str]) -> dict[str, Tracker]:
    """The trackers of these names.

    Raises:
        InputError: there is none of a name; the nearest known one is named.
        MissingError: its package is not installed, or cannot be loaded.
    """
    return {name: _factory(name)() for name in names}


def _factory(name: str) -> Callable[[], Tracker]:
    known: dict[str, EntryPoint | str] = {**{point.name: point for point in entry_points(group=GROUP)}, **_OWN}
    found = known.get(name)
    if found is None:
        meant = nearest(name, known)
        hint = f"Did you mean {meant!r}?" if meant else f"There are: {', '.join(sorted(known))}."
        raise InputError(f"there is no tracker named {name!r}", where="train.trackers", hint=hint)
    if isinstance(found, str):
        module, _, attribute = found.partition(":")
        own: Callable[[], Tracker] = getattr(importlib.import_module(module), attribute)
        return own
    try:
        factory: Callable[[], Tracker] = found.load()
    except Exception as error:  # a stranger's module may fail in any way
        raise MissingError(f"the tracker {name!r} cannot be loaded: {error}", where=found.value, hint="Mend or remove the package that brings it.") from error
    return factory


class Trackers:
    """Several trackers as one. One that fails is warned of once and told nothing more: no training ends because somebody could not watch it."""

    def __init__(self, trackers: Mapping[str, Tracker], events: Listener) -> None:
        self._trackers = dict(trackers)
        self._events = events

    @contextmanager
    def following(self, run: str, folder: Path, recipe: Mapping[str, Any], step: int = 0) -> Iterator[None]:
        """Tell them that a run begins, or goes on from `step`, and at the end of the block that it has ended."""
        self._tell(lambda tracker: tracker.start(run, folder, recipe, step))
        try:
            yield
        finally:
            self._tell(lambda tracker: tracker.finish())

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Tell them figures."""
        self._tell(lambda tracker: tracker.log(step, values))

    def _tell(self, say: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                say(tracker)
            except Exception as error:
                del self._trackers[name]
                self._events(Note(f"the tracker {name} failed and is told nothing more; the training goes on: {error}", "warning"))
