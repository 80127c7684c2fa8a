"""A sweep is carried out: one trial after another, each an ordinary run; whatever has been done is not done again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clipcap_cli.errors import ClipcapError, InputError, StoreError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.recipe.differences import values_told
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.storage.names import check_name
from clipcap_cli.training.grid import Draw, Plan, plan_trials
from clipcap_cli.training.lock import read_lock
from clipcap_cli.training.material import open_material
from clipcap_cli.training.runs import RUN_FILE, Run, is_recipe
from clipcap_cli.training.sweeps import Sweep, check_recipe_is_meant, dataset_version_of, list_sweeps, open_sweep, sweep_of
from clipcap_cli.training.train import resume, train
from clipcap_cli.training.validation import ScorerFactory
from clipcap_cli.words import count, duration


def find_sweep(
    name: str, settings: Iterable[str] = (), draw: Draw | None = None, *, sweep_name: str | None = None, home: Home | None = None, events: Listener = silent
) -> Sweep:
    """The sweep that is asked for: a new one, or one that was begun.

    Args:
        name: a recipe, or, without `settings` and `draw`, a sweep.
        settings, draw: as `plan_trials` takes them.
        sweep_name: None for one that is made from the recipe's.

    Raises:
        InputError: something is wrong with an axis, a recipe or a name, values are asked for of a sweep, or the dataset is not there.
        StoreError: the store cannot be written, or the sweep's record is damaged.
    """
    home, settings = home or open_home(), list(settings)
    if sweep_name is not None:
        check_name(sweep_name, "sweep")
    if not settings and draw is None and (name in list_sweeps(home) or not is_recipe(name)):
        return open_sweep(name, home)
    check_recipe_is_meant(name, home)
    return _sweep_of_plan(plan_trials(name, settings, draw), sweep_name, home, events)


def _sweep_of_plan(plan: Plan, name: str | None, home: Home, events: Listener) -> Sweep:
    for recipe in {trial.recipe.dataset.model_dump_json(): trial.recipe for trial in plan.trials}.values():
        open_material(recipe, home)
    return sweep_of(plan, home.prepare(), name, dataset_version=dataset_version_of(plan, home), events=events)


def run_sweep(sweep: Sweep, *, retry_failed: bool = False, device: str = "auto", events: Listener = silent, scorer: ScorerFactory | None = None) -> Run | None:
    """Train the trials of a sweep that have not finished, one after another; one that was stopped or killed goes on to the bit.

    A trial that fails is written down, and the next one begins.

    Args:
        retry_failed: try those that have failed again; otherwise they stay as they are.
        device, scorer: as for `train`.

    Returns:
        The run that was stopped, with a checkpoint; None where all trials are through.

    Raises:
        InputError: a run of another recipe has the name of a trial.
        StoreError: the store cannot be written, or another process carries the sweep out.
    """
    with sweep.lock():
        sweep = open_sweep(sweep.name, sweep.home)  # as it is now: another process may have carried out some of it
        if retry_failed and sweep.failures:
            sweep = sweep.with_failures({})
        finished = [run for run in sweep.trials if has_finished(sweep, run)]
        for name in finished:
            resume(Run(sweep.home, name))  # a kill at its very end may have left checkpoints that are to go
        to_do = [run for run in sweep.trials if run not in (*sweep.failures, *finished)]
        events(Note(_told(sweep, to_do)))
        is_timed = False
        for place, name in enumerate(to_do, 1):
            number, left = list(sweep.trials).index(name) + 1, len(to_do) - place
            events(Note(f"trial {number} of {len(sweep.trials)}, {name}: {values_told(sweep.trials[name].values)}"))
            try:
                run = _carry_out(sweep, name, {"device": device, "events": events, "scorer": scorer})
            except StoreError:
                raise  # a full disk or a busy run is no fault of the trial, and would meet the next one too
            except Exception as error:
                reason = error.message if isinstance(error, ClipcapError) else f"{type(error).__name__}: {error}"
                events(Note(f"{name} has failed: {reason}", "warning"))
                sweep = sweep.with_failures({**sweep.failures, name: reason})
                continue
            if run.info.status == "stopped":
                return run
            if left and not is_timed:
                took = run.info.minutes * 60
                events(Note(f"{name} took {duration(took)}: the {count(left, 'trial')} after it will need about {duration(took * left)} if they are like it"))
                is_timed = True
    return None


def has_finished(sweep: Sweep, name: str) -> bool:
    """Whether a trial has finished.

    Raises:
        InputError: the run of its name is not of this sweep.
        StoreError: the run's record is damaged.
    """
    run = _run_of(sweep, name)
    return run is not None and run.info.status == "finished"


def _carry_out(sweep: Sweep, name: str, how: dict[str, Any]) -> Run:
    run = _run_of(sweep, name)
    return train(sweep.recipe_of(name), home=sweep.home, **how) if run is None else resume(run, **how)


def _run_of(sweep: Sweep, name: str) -> Run | None:
    """The run of a trial; None where it has not begun."""
    run = Run(sweep.home, name)
    if not run.path.exists():
        return None
    if not (run.path / RUN_FILE).is_file():
        hint = "Move it away, or begin a sweep of another name."
        raise InputError(f"what lies where the trial {name!r} belongs is no run", where=str(run.path), hint=hint)
    lock = read_lock(run.path)
    if lock is None or lock.asked != sweep.recipe_of(name).model_dump(mode="json"):
        hint = f"Remove it with `clipcap runs remove {name}`, or begin a sweep of another name."
        raise InputError(f"the run {name!r} is not of the sweep {sweep.name!r}: its recipe is another", where=str(run.path), hint=hint)
    return run


def _told(sweep: Sweep, to_do: list[str]) -> str:
    """The plan."""
    recipe = next(iter(sweep.trials.values())).recipe
    how = f"drawn with seed {sweep.draw.seed}" if sweep.draw else "all combinations"
    version = f" v{sweep.dataset_version or recipe.dataset.version}" if recipe.dataset.name else ""
    data = f"{recipe.dataset.name or recipe.dataset.texts}{version}"
    there = len(sweep.trials) - len(to_do) - len(sweep.failures)
    states = [f"{there} finished before"] * (there > 0) + [f"{len(sweep.failures)} failed before"] * (len(sweep.failures) > 0)
    done = f" ({', '.join(states)})" if states else ""
    return f"{sweep.name}: {count(len(sweep.trials), 'trial')} of {sweep.recipe} on {data}, {how} of {' and '.join(sweep.axes)}; {len(to_do)} to do{done}"
