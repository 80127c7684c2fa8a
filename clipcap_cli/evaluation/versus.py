"""Two captioners, or files of captions, on the same pictures: which differences are real, and where they differ most."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clipcap_cli.errors import InputError
from clipcap_cli.evaluation.comparison import Difference, compare, most_changed
from clipcap_cli.evaluation.evaluate import evaluate
from clipcap_cli.evaluation.scores import Scores, difference_as_dict, main_metric
from clipcap_cli.evaluation.subject import find_subject
from clipcap_cli.events import Listener, silent
from clipcap_cli.recipe.differences import recipe_differences
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.training.runs import Run


@dataclass(frozen=True)
class Change:
    """A picture that one captions better than the other, by the main metric."""

    image: str
    first: str
    second: str
    difference: float


@dataclass(frozen=True)
class Comparison:
    """What was found.

    Attributes:
        differences: of each metric, second - first.
        main: the metric by which `changes` are sorted.
        changes: every picture that scores differently, the greatest difference first.
        same_captions: pictures that both caption word for word alike.
        recipes: where both are runs, the keys in which their recipes differ, with both values; else None.
    """

    first: Scores
    second: Scores
    differences: tuple[Difference, ...]
    main: str
    changes: tuple[Change, ...]
    same_captions: int
    recipes: Mapping[str, tuple[Any, Any]] | None = None

    @property
    def is_luck(self) -> bool:
        """Whether the two are trainings that differ in nothing but what was drawn. No difference between such two is a finding, however sure it is that these
        two sets of weights are not equally good; so none is called real."""
        return self.recipes is not None and set(self.recipes) <= {"seed"}

    def as_dict(self, changes: int) -> dict[str, Any]:
        """Plain JSON values, with so many of the changes."""
        return {
            "first": self.first.name,
            "second": self.second.name,
            "dataset": self.first.dataset,
            "split": self.first.split,
            "pictures": len(self.first.images),
            "differences": [difference_as_dict(difference) for difference in self.differences],
            "same_captions": self.same_captions,
            "recipes": None if self.recipes is None else {key: list(values) for key, values in self.recipes.items()},
            "is_luck": self.is_luck,
            "sorted_by": self.main,
            "changes": [vars(change) for change in self.changes[:changes]],
        }


def compare_captioners(
    first: Run | str | os.PathLike[str],
    second: Run | str | os.PathLike[str],
    dataset: str | None = None,
    *,
    split: str | None = None,
    home: Home | None = None,
    events: Listener = silent,
    **asked: Any,
) -> Comparison:
    """Score two captioners, or files of captions, on the same pictures, and compare them.

    Args:
        first, second: as `evaluate` takes them.
        dataset, split: None for those of the first.
        asked: what else `evaluate` is to be told.

    Raises:
        InputError, MissingError, StoreError: as `evaluate` does.
    """
    home = home or (first.home if isinstance(first, Run) else open_home())
    find_subject(second, home)  # a wrong name is told before the first one is scored
    one = evaluate(first, dataset, split=split, baselines=False, home=home, events=events, **asked)
    other = evaluate(second, one.dataset if one.version else None, split=one.split, baselines=False, home=home, events=events, **asked)
    return put_side_by_side(one, other)


def put_side_by_side(first: Scores, second: Scores) -> Comparison:
    """Compare two evaluations.

    Raises:
        InputError: they are not of the same pictures, or were not scored by the same metrics.
    """
    if (first.dataset, first.version, first.split) != (second.dataset, second.version, second.split) or [image.name for image in first.images] != [
        image.name for image in second.images
    ]:
        raise InputError(
            f"{first.name} was scored on {len(first.images):,} pictures of {first.data}, {second.name} on {len(second.images):,} of {second.data}",
            hint="Compare on the same pictures: name the dataset and the split.",
        )
    names = [metric.name for metric in first.system.metrics]
    if names != [metric.name for metric in second.system.metrics]:
        raise InputError(f"{first.name} and {second.name} were not scored by the same metrics")
    main = main_metric(first.system)
    captions = [(image.name, first.system.captions[image.name], second.system.captions[image.name]) for image in first.images]
    changed = most_changed(first.system.metric(main), second.system.metric(main))
    comparison = Comparison(
        first,
        second,
        tuple(compare(first.system.metrics, second.system.metrics)),
        main,
        tuple(Change(*captions[picture], change) for picture, change in changed),
        sum(one == other for _, one, other in captions),
        _recipes_apart(first, second),
    )
    if not comparison.is_luck:
        return comparison
    return replace(comparison, differences=tuple(replace(difference, is_real=False) for difference in comparison.differences))


def _recipes_apart(first: Scores, second: Scores) -> dict[str, tuple[Any, Any]] | None:
    if first.recipe is None or second.recipe is None:
        return None
    found = recipe_differences(first.recipe, second.recipe)
    return found if first.learned_from == second.learned_from else {**found, "dataset": (first.learned_from, second.learned_from)}


def conclusions(comparison: Comparison) -> list[str]:
    """What the comparison says, in sentences."""
    first, second = comparison.first.name, comparison.second.name
    if comparison.first.run is not None and comparison.first.run == comparison.second.run:
        return ["They are one and the same captioner"]
    if comparison.is_luck:
        apart = "in their seed alone" if comparison.recipes else "in nothing that was written down"
        return [f"Their recipes differ {apart}: what lies between the two is luck, and shows how much of it there is. None of it is called real"]
    told = [_verdict(comparison.differences, first, second)]
    if comparison.recipes is not None:
        told.append(f"Their recipes differ in {', '.join(f'{key} ({one}, {other})' for key, (one, other) in comparison.recipes.items())}")
        told.append("These are single trainings, and another seed moves scores, too: two runs of one recipe with two seeds show how much")
    return told


def _verdict(differences: Sequence[Difference], first: str, second: str) -> str:
    """Which is better, if that can be said."""
    real = [difference for difference in differences if difference.is_real]
    if not real:
        return f"{first} and {second} cannot be told apart: no difference is larger than chance makes"
    better = [difference.name for difference in real if difference.difference > 0]
    worse = [difference.name for difference in real if difference.difference < 0]
    if better and worse:
        return f"{second} is better by {', '.join(better)} and worse by {', '.join(worse)}"
    by = "every metric" if len(real) == len(differences) > 1 else ", ".join(better or worse)
    return f"{second} is {'better' if better else 'worse'} than {first} by {by}"
