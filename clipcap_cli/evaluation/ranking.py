"""The trials of a sweep from best to worst, with how sure that order is.

The best bundle of each trial captions every validation picture, and all are scored on the same pictures by what their recipes select by. Each is then
compared with the best one, picture by picture (see `comparison`), at 5 % shared out over all these comparisons. Where the loss decides, there are only the
losses that the trainings wrote down: they are means over tokens, without a value for each picture, so that no interval can be had from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clipcap_cli.evaluation.comparison import Difference, compare
from clipcap_cli.evaluation.evaluate import evaluate
from clipcap_cli.evaluation.intervals import Interval
from clipcap_cli.evaluation.scores import Scores, difference_as_dict
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.recipe.differences import recipe_differences
from clipcap_cli.training.runs import Run
from clipcap_cli.training.sweep import has_finished
from clipcap_cli.training.sweeps import Sweep
from clipcap_cli.training.validation import BY_LOSS

_SEED = "seed"


@dataclass(frozen=True)
class Place:
    """A trial that has finished.

    Attributes:
        values: of the axes.
        score: what trials are sorted by; None where its loss was never finite.
        interval: of the score; None for a loss.
        behind: the best one's difference to it; None for the best one itself, and for a loss.
    """

    run: str
    values: Mapping[str, Any]
    score: float | None
    interval: Interval | None
    behind: Difference | None
    steps: int
    minutes: float


@dataclass(frozen=True)
class Ranking:
    """A sweep's trials in their order.

    Attributes:
        by: "CIDEr", …, or "loss".
        data: what they were scored on, for people: "food v1, split val"; "" where none has finished.
        pictures: how many.
        places: the best first.
        failures: why the others have none, by run.
        waiting: trials that have not finished.
        conclusions: what can be said of it, in sentences.
    """

    sweep: str
    by: str
    data: str
    pictures: int
    places: tuple[Place, ...]
    failures: Mapping[str, str]
    waiting: tuple[str, ...]
    conclusions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "sweep": self.sweep,
            "sorted_by": self.by,
            "data": self.data,
            "pictures": self.pictures,
            "trials": [
                {
                    "run": place.run,
                    "values": dict(place.values),
                    "score": place.score,
                    "low": place.interval.low if place.interval else None,
                    "high": place.interval.high if place.interval else None,
                    "against_best": difference_as_dict(place.behind) if place.behind else None,
                    "steps": place.steps,
                    "minutes": place.minutes,
                }
                for place in self.places
            ],
            "failed": [{"run": run, "reason": reason} for run, reason in self.failures.items()],
            "waiting": list(self.waiting),
            "conclusions": list(self.conclusions),
        }


def rank(sweep: Sweep, *, device: str = "auto", events: Listener = silent) -> Ranking:
    """Score and sort the trials of a sweep that have finished. Captions are kept: asking again takes no time.

    Raises:
        InputError: a run is not of this sweep, or its dataset is not there any more.
        MissingError: weights are missing.
        StoreError: a bundle is damaged, or the store cannot be written.
    """
    finished = [Run(sweep.home, name) for name in sweep.trials if has_finished(sweep, name)]
    failures = {name: reason for name, reason in sweep.failures.items() if name not in {run.name for run in finished}}
    done = {*failures, *(run.name for run in finished)}
    waiting = tuple(name for name in sweep.trials if name not in done)
    part = next(iter(sweep.trials.values())).recipe
    by = finished[0].info.select_by if finished else part.train.select_by
    if by == BY_LOSS or not finished:
        places = _by_loss(sweep, finished)
        told, data, pictures = _of_losses(sweep, places), "", 0
    else:
        scored = []
        for run in finished:
            events(Note(f"scoring {run.name}"))
            scored.append(
                evaluate(run, part.dataset.name, split=part.dataset.val, metrics=(by,), baselines=False, home=sweep.home, device=device, events=events)
            )
        by = next(metric.name for metric in scored[0].system.metrics if metric.name.lower() == by)
        places = _by_score(sweep, finished, scored, by)
        told, data, pictures = _of_scores(places, len(sweep.trials), by), scored[0].data, len(scored[0].images)
    return Ranking(sweep.name, by, data, pictures, places, failures, waiting, tuple(told))


def _by_loss(sweep: Sweep, runs: Sequence[Run]) -> tuple[Place, ...]:
    places = [Place(run.name, sweep.trials[run.name].values, run.info.best_loss, None, None, run.info.steps, run.info.minutes) for run in runs]
    return tuple(sorted(places, key=lambda place: math.inf if place.score is None else place.score))


def _by_score(sweep: Sweep, runs: Sequence[Run], scored: Sequence[Scores], by: str) -> tuple[Place, ...]:
    order = sorted(range(len(runs)), key=lambda number: -scored[number][by])
    best, *others = (scored[number].system.metric(by) for number in order)
    behind = [None, *compare([best] * len(others), others)] if others else [None]
    first = sweep.trials[runs[order[0]].name].recipe
    places = []
    for number, difference in zip(order, behind, strict=True):
        run, system = runs[number], scored[number].system
        trial = sweep.trials[run.name]
        if difference is not None and set(recipe_differences(first, trial.recipe)) <= {_SEED}:
            difference = replace(difference, is_real=False)  # whatever lies between the two was drawn
        interval = system.intervals[system.metrics.index(system.metric(by))]
        places.append(Place(run.name, trial.values, scored[number][by], interval, difference, run.info.steps, run.info.minutes))
    return tuple(places)


def _of_scores(places: Sequence[Place], trials: int, by: str) -> list[str]:
    best, *others = places
    if not others:
        return [f"{best.run} is the only trial that has finished: there is nothing to compare it with"]
    alike = [place.run for place in others if place.behind and not place.behind.is_real]
    if {key for key in best.values if best.values[key] != others[0].values[key]} == {_SEED}:
        told = [f"{best.run} and the next, {others[0].run}, differ in nothing but their seed: what lies between them is luck"]
    elif others[0].run in alike:
        told = [f"{best.run} is not distinguishable from the next, {others[0].run}: pictures differ more than these two do"]
    else:
        told = [f"{best.run} is better than the next, {others[0].run}, beyond what the choice of pictures explains"]
    if len(others) > 1:
        whom = "none" if not alike else "all" if len(alike) == len(others) else ", ".join(alike)
        told.append(f"Of the {len(others)} others, these cannot be told from it: {whom}")
    told.append(f"The {by} of the best of {trials} is optimistic: part of it is the luck that made it the best, on the pictures that chose it")
    told.append("Score it on pictures that chose nothing (the split test), and train it with another seed, before it is believed")
    return told


def _of_losses(sweep: Sweep, places: Sequence[Place]) -> list[str]:
    if not places:
        return ["No trial has finished"]
    told = ["No intervals: a loss is a mean over tokens, written down without its pictures, so it is not known which differences are real"]
    if all(trial.recipe.dataset.val is None for trial in sweep.trials.values()):
        told.append("These are losses of captions that were learned: they say nothing of other pictures, since the recipe validates on none")
    models = {trial.recipe.language_model.name for trial in sweep.trials.values()}
    if len(models) > 1:
        told.append("Losses of different language models count different tokens, and cannot be compared: select by cider instead")
    told.append(f"The loss of the best of {len(sweep.trials)} is optimistic: part of it is the luck that made it the best, on the pictures that chose it")
    return told
