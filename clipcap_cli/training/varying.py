"""In what runs differ that belong together: the trials of a sweep, or runs of one name (food, food-2, …)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clipcap_cli.errors import ClipcapError
from clipcap_cli.recipe import Recipe
from clipcap_cli.recipe.differences import values_apart
from clipcap_cli.training.runs import Run
from clipcap_cli.training.sweeps import trials_by_run

_NUMBERED = re.compile(r"(.+)-\d+")  # what `new_run` makes of a name that is taken


@dataclass(frozen=True)
class Apart:
    """What is special about a run.

    Attributes:
        sweep: the one that it is a trial of; None where there is none.
        values: of the keys in which the runs that belong with it differ; the runs of one sweep are such, and so are food, food-2, food-3.
    """

    sweep: str | None
    values: Mapping[str, Any]


def what_varies(runs: Sequence[Run]) -> list[Apart]:
    """What is special about each run; a run whose recipe cannot be read has no values."""
    sweeps = {run: sweep for run, (sweep, _) in trials_by_run(runs[0].home).items()} if runs else {}
    names = {run.name for run in runs}
    groups: dict[tuple[str | None, str], list[int]] = defaultdict(list)
    for place, run in enumerate(runs):
        sweep = sweeps.get(run.name)
        groups[(sweep, "" if sweep else _family(run.name, names))].append(place)
    found = [Apart(sweeps.get(run.name), {}) for run in runs]
    for (sweep, _), places in groups.items():
        recipes = {place: recipe for place in places if len(places) > 1 and (recipe := _recipe_of(runs[place]))}
        for place, values in zip(recipes, values_apart(list(recipes.values())), strict=True):
            found[place] = Apart(sweep, values)
    return found


def _family(name: str, names: set[str]) -> str:
    numbered = _NUMBERED.fullmatch(name)
    return numbered[1] if numbered and numbered[1] in names else name


def _recipe_of(run: Run) -> Recipe | None:
    try:
        return run.recipe
    except ClipcapError:
        return None
