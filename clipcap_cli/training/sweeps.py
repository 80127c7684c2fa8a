"""Sweeps on disk: CLIPCAP_HOME/sweeps/NAME/sweep.json says what is tried, and which trials have failed. The trials are runs, named NAME-01, NAME-02, …

Whether a trial has finished is what its run says, so that there are no two records that could disagree.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.errors import ClipcapError, InputError, StoreError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.recipe import Recipe
from clipcap_cli.recipe.differences import recipe_differences
from clipcap_cli.storage.atomic import new_folder, remove_folder, write_json
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.locks import hold
from clipcap_cli.storage.names import check_name, unknown
from clipcap_cli.storage.reading import read_json
from clipcap_cli.training.grid import Draw, Plan, Trial
from clipcap_cli.training.runs import is_recipe, remove_run

FORMAT = 1
SWEEP_FILE = "sweep.json"
_ANY_RUN = "run"  # the name that recipes have while two sweeps are compared


@dataclass(frozen=True)
class Sweep:
    """One in the store.

    Attributes:
        started: an ISO time.
        recipe, axes, draw: as in `Plan`.
        dataset_version: the version of the dataset that all trials learn from; None where they learn from none, or their recipe names one.
        trials: in their order, by the name of their run; the version is not in their recipes.
        failures: why trials have failed, by the name of their run.
    """

    home: Home
    name: str
    started: str
    recipe: str
    axes: tuple[str, ...]
    draw: Draw | None
    dataset_version: int | None
    trials: Mapping[str, Trial]
    failures: Mapping[str, str]

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.home.sweeps / self.name

    def recipe_of(self, run: str) -> Recipe:
        """What a trial is trained with: its recipe with the version of the dataset."""
        recipe = self.trials[run].recipe
        if self.dataset_version is None:
            return recipe
        return recipe.model_copy(update={"dataset": recipe.dataset.model_copy(update={"version": self.dataset_version})})

    def runs(self) -> list[str]:
        """The trials that have been begun, whether they have finished or not."""
        return [run for run in self.trials if (self.home.runs / run).exists()]

    def with_failures(self, failures: Mapping[str, str]) -> Sweep:
        """The same with other failures, written down.

        Raises:
            StoreError: it cannot be written.
        """
        sweep = replace(self, failures=dict(failures))
        write_json(self.path / SWEEP_FILE, _as_json(sweep))
        return sweep

    def lock(self) -> AbstractContextManager[None]:
        """The lock that its process holds."""
        return hold(self.home, f"sweep-{self.name}")


def list_sweeps(home: Home) -> list[str]:
    """The names of all sweeps."""
    return sorted(path.parent.name for path in home.sweeps.glob(f"[!.]*/{SWEEP_FILE}")) if home.sweeps.is_dir() else []


def open_sweep(name: str, home: Home) -> Sweep:
    """A sweep by name.

    Raises:
        InputError: there is none of that name.
        StoreError: its record is damaged, or was written by a newer clipcap.
    """
    if name not in list_sweeps(home):
        raise unknown("sweep", name, list_sweeps(home), listing="clipcap runs list")
    path = home.sweeps / name / SWEEP_FILE
    try:
        facts = read_json(path)
        if facts["format"] > FORMAT:
            raise StoreError(
                f"this sweep has format {facts['format']}, newer than the {FORMAT} that this clipcap knows", where=str(path), hint="Update clipcap."
            )
        return Sweep(
            home=home,
            name=name,
            started=str(facts["started"]),
            recipe=str(facts["recipe"]),
            axes=tuple(map(str, facts["axes"])),
            draw=Draw(**facts["draw"]) if facts["draw"] else None,
            dataset_version=facts["dataset_version"],
            trials={str(trial["run"]): Trial(dict(trial["values"]), Recipe.model_validate(trial["recipe"])) for trial in facts["trials"]},
            failures={str(run): str(reason) for run, reason in facts["failures"].items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        hint = f"Bring it back as it was, or move {path.parent} away and begin a sweep of another name."
        raise StoreError(f"this sweep's record cannot be read ({type(error).__name__})", where=str(path), hint=hint) from error


def check_recipe_is_meant(name: str, home: Home) -> None:
    """Whether values, or a name, can be asked for beside `name`.

    Raises:
        InputError: it is a sweep, and no recipe.
    """
    if name in list_sweeps(home) and not is_recipe(name):
        hint = f"Leave the values out (`clipcap sweep {name}`), or begin another sweep with a recipe."
        raise InputError("a sweep that goes on keeps its values and its name", where=name, hint=hint)


def sweep_of(plan: Plan, home: Home, name: str | None = None, *, dataset_version: int | None = None, events: Listener = silent) -> Sweep:
    """The sweep of a plan: the one that was begun before, or a new one, written down.

    Args:
        name: None for the recipe's name with "-sweep", and a number where another sweep has that.
        dataset_version: the current one, for a new sweep.

    Raises:
        InputError: the name is another sweep's, or runs of its trials' names are there.
        StoreError: it cannot be written.
    """
    wanted = name or f"{plan.trials[0].recipe.name}-sweep"
    for number in itertools.count(1):
        free = wanted if number == 1 else f"{wanted}-{number}"
        if free not in list_sweeps(home):
            break
        there = open_sweep(free, home)
        apart = _apart(there, plan)
        if apart is None:
            events(Note(f"{free} was begun before, and goes on"))
            return there
        if name:
            hint = f"Choose another --name, or go on with that one: clipcap sweep {name}"
            raise InputError(f"another sweep has the name {name!r}: {apart}", where="--name", hint=hint)
    return _begin(plan, home, free, dataset_version)


def dataset_version_of(plan: Plan, home: Home) -> int | None:
    """The version that a sweep which begins now learns from; None where its recipes name one, or no dataset.

    Raises:
        InputError: there is no such dataset.
    """
    part = plan.trials[0].recipe.dataset
    return open_dataset(part.name, home=home).version if part.name is not None and part.version is None else None


def _begin(plan: Plan, home: Home, name: str, dataset_version: int | None) -> Sweep:
    digits = max(2, len(str(len(plan.trials))))
    trials = {}
    for number, trial in enumerate(plan.trials, 1):
        run = f"{name}-{number:0{digits}}"
        check_name(run, "run")
        trials[run] = Trial(trial.values, trial.recipe.model_copy(update={"name": run}))
    taken = [run for run in trials if (home.runs / run).exists()]
    if taken:
        raise InputError(f"a run of the name {taken[0]!r} is there already", where="--name", hint="Choose another --name for the sweep.")
    started = datetime.now(UTC).isoformat(timespec="seconds")
    sweep = Sweep(home, name, started, plan.recipe, plan.axes, plan.draw, dataset_version, trials, {})
    with sweep.lock(), new_folder(sweep.path) as part:
        write_json(part / SWEEP_FILE, _as_json(sweep))
    return sweep


def remove_sweep(sweep: Sweep) -> None:
    """Remove a sweep and its runs; the record goes last, so that what is left of a removal that broke off can be removed by the same line.

    Raises:
        StoreError: the sweep is at work, or one of its runs is training, now.
    """
    with sweep.lock():
        for run in sweep.runs():
            remove_run(sweep.home, run)
        remove_folder(sweep.path)


def _apart(sweep: Sweep, plan: Plan) -> str | None:
    """What tells a sweep from a plan, for people; None where they are the same."""
    if len(sweep.trials) != len(plan.trials):
        return f"it has {len(sweep.trials)} trials, this line {len(plan.trials)}"
    for run, ours in zip(sweep.trials, plan.trials, strict=True):
        one, other = (it.recipe.model_copy(update={"name": _ANY_RUN}) for it in (sweep.trials[run], ours))
        if one != other:
            told = (f"{key} ({old} there, {new} here)" for key, (old, new) in recipe_differences(one, other).items())
            return f"{run} differs in {', '.join(told)}"
        if list(sweep.trials[run].values) != list(ours.values):
            return f"it varies {', '.join(sweep.trials[run].values)}, this line {', '.join(ours.values)}"
    return None


def _as_json(sweep: Sweep) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "started": sweep.started,
        "recipe": sweep.recipe,
        "axes": list(sweep.axes),
        "draw": asdict(sweep.draw) if sweep.draw else None,
        "dataset_version": sweep.dataset_version,
        "trials": [{"run": run, "values": dict(trial.values), "recipe": trial.recipe.model_dump(mode="json")} for run, trial in sweep.trials.items()],
        "failures": dict(sweep.failures),
    }


def trials_by_run(home: Home) -> dict[str, tuple[str, Trial]]:
    """The sweep of each run that is a trial, and what it tries; a sweep whose record cannot be read has none."""
    found: dict[str, tuple[str, Trial]] = {}
    for name in list_sweeps(home):
        try:
            found.update((run, (name, trial)) for run, trial in open_sweep(name, home).trials.items())
        except ClipcapError:
            continue
    return found
