"""From `train.lr=1e-5,3e-5` to the recipes of a sweep's trials, every one of them checked. No torch: a mistake is told at once."""

from __future__ import annotations

import itertools
import math
import os
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from clipcap_cli.errors import InputError
from clipcap_cli.recipe import Recipe, load_recipe
from clipcap_cli.recipe.differences import values_told
from clipcap_cli.recipe.reading import parse_values

LARGEST = 500  # trials: more is a slip of the finger rather than a plan
_RANGE = re.compile(r"\s*([-+.\deE]+?)\s*\.\.\s*([-+.\deE]+)\s*")
_DIGITS = 3  # of a number that is drawn: enough for a search, and a line that can be typed
_WIDE = 10  # high / low from which numbers are drawn evenly by their logarithm
_TRIES = 100  # draws for each trial that is asked for, before it is said that there are no more
# What one table needs: the same pictures, the same score.
_COMMON = ("dataset.name", "dataset.version", "dataset.val", "train.select_by")


@dataclass(frozen=True)
class Range:
    """Numbers that are drawn from, both ends included; whole ones where both ends are."""

    low: float
    high: float

    @property
    def is_wide(self) -> bool:
        """Whether numbers are drawn evenly by their logarithm."""
        return self.low > 0 and self.high / self.low >= _WIDE

    def draw(self, generator: random.Random) -> float:
        """One number, of three digits."""
        if self.is_wide:
            number = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        elif isinstance(self.low, int):
            number = generator.randint(self.low, int(self.high))
        else:
            number = generator.uniform(self.low, self.high)
        number = round(number) if isinstance(self.low, int) else float(f"{number:.{_DIGITS}g}")
        return min(max(number, self.low), self.high)

    def __str__(self) -> str:
        return f"{self.low}..{self.high}" + (", by logarithm" if self.is_wide else "")


@dataclass(frozen=True)
class Axis:
    """A key that trials differ in, and its values."""

    key: str
    values: tuple[Any, ...] | Range

    def __str__(self) -> str:
        return f"{self.key} {self.values}" if isinstance(self.values, Range) else f"{self.key} ({len(self.values)} values)"


@dataclass(frozen=True)
class Draw:
    """How many trials are drawn, and the seed of the draw."""

    trials: int
    seed: int = 0


@dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Attributes:
        values: of the axes, as the recipe has them.
        recipe: all of it; its name is not yet the run's.
    """

    values: Mapping[str, Any]
    recipe: Recipe


@dataclass(frozen=True)
class Plan:
    """All trials of a sweep, in their order.

    Attributes:
        recipe: what it was made from, as it was typed.
        axes: for people.
        draw: None for a grid.
    """

    recipe: str
    axes: tuple[str, ...]
    draw: Draw | None
    trials: tuple[Trial, ...]


def plan_trials(recipe: str | os.PathLike[str], settings: Iterable[str], draw: Draw | None = None) -> Plan:
    """The trials that a command line asks for.

    Args:
        recipe: a file, or the name of a shipped recipe.
        settings: "train.lr=1e-5,3e-5" for an axis, "train.epochs=3" for all trials; with `draw` also "train.lr=1e-5..1e-3".
        draw: draw trials instead of taking all combinations.

    Raises:
        InputError: there is no axis, or something is wrong with one, or with the recipe of a trial: all mistakes at once.
        UsageError: a setting sets no key.
    """
    axes, common = _read_settings(settings, draw)
    if not axes:
        load_recipe(recipe, common)  # what is wrong with it may be why nothing varies
        raise InputError("nothing varies: no key has two values", where="command line", hint="Separate values by commas, as in train.lr=1e-5,3e-5.")
    _check_number(axes, draw)
    _check_values(recipe, axes, common)
    chosen = _drawn(axes, draw) if draw else _grid(axes)
    trials, mistakes = [], []
    for values in chosen:
        try:
            made = load_recipe(recipe, {**common, **values})
        except InputError as error:
            mistakes.append(error)
            continue
        trials.append(Trial({axis.key: _value_of(made, axis.key) for axis in axes}, made))
    _tell(mistakes)
    _check_together(trials)
    return Plan(os.fspath(recipe), tuple(map(str, axes)), draw, tuple(trials))


def _read_settings(settings: Iterable[str], draw: Draw | None) -> tuple[list[Axis], dict[str, Any]]:
    axes: list[Axis] = []
    common: dict[str, Any] = {}
    seen: set[str] = set()
    for text in settings:
        key, values = _read_axis(text)
        if key in seen:
            raise InputError(f"{key!r} is there twice", where="command line", hint="Put all its values behind one '=', with commas between them.")
        seen.add(key)
        if isinstance(values, Range) and draw is None:
            hint = "Add --random N to draw from it, or write values with commas."
            raise InputError(f"{text!r} is a range, and a grid needs single values", where="command line", hint=hint)
        if isinstance(values, tuple) and len(values) == 1:
            common[key] = values[0]
            continue
        if key == "name":
            raise InputError("'name' cannot vary: runs are named after their sweep", where="command line", hint="Name the sweep with --name.")
        axes.append(Axis(key, values))
    return axes, common


def _read_axis(text: str) -> tuple[str, tuple[Any, ...] | Range]:
    key, equals, written = text.partition("=")
    key = key.strip()
    if not equals or not key or not written.strip():
        return key, tuple(parse_values([text]).values())
    try:
        values = yaml.safe_load(f"[{written}]")
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also a 13th month, and brackets in brackets
        hint = "Put values that hold commas, brackets or colons in quotes."
        raise InputError(f"the values of {key!r} are not YAML: {written!r:.80}", where="command line", hint=hint) from error
    if not isinstance(values, list) or written.rstrip().endswith(","):
        raise InputError(f"a value of {key!r} is missing: {written!r:.80}", where="command line", hint="Write null for no value.")
    ranges = [value for value in values if isinstance(value, str) and _RANGE.fullmatch(value)]
    if not ranges:
        return key, tuple(values)
    if len(values) > 1:
        raise InputError(f"{text!r:.80} has a range beside other values", where="command line", hint="Give one range, or values with commas.")
    return key, _range(key, ranges[0])


def _range(key: str, written: str) -> Range:
    found = _RANGE.fullmatch(written)
    assert found is not None
    try:
        low, high = (int(part) if re.fullmatch(r"[-+]?\d+", part) else float(part) for part in found.groups())
    except ValueError as error:
        raise InputError(f"{written!r} is no range of numbers", where=key, hint="Write low..high, as in train.lr=1e-5..1e-3.") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InputError(f"the range {written!r} has nothing between its ends", where=key, hint="Write the lower number first, as in train.lr=1e-5..1e-3.")
    return Range(low, high) if isinstance(low, int) and isinstance(high, int) else Range(float(low), float(high))


def _check_number(axes: Sequence[Axis], draw: Draw | None) -> None:
    """Whether these are no more trials than anybody means: told before each value is tried."""
    if draw:
        if draw.trials > LARGEST:
            raise InputError(f"these are {draw.trials:,} trials", where="--random", hint=f"A sweep has at most {LARGEST}.")
        return
    combinations = math.prod(len(axis.values) for axis in axes if isinstance(axis.values, tuple))
    if combinations > LARGEST:
        hint = f"Draw some of them with --random N, or take fewer values; a sweep has at most {LARGEST} trials."
        raise InputError(f"these are {combinations:,} combinations", where="command line", hint=hint)


def _grid(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """All combinations; the last axis changes fastest."""
    values = [axis.values for axis in axes if isinstance(axis.values, tuple)]
    keys = [axis.key for axis in axes]
    return (dict(zip(keys, combination, strict=True)) for combination in itertools.product(*values))


def _drawn(axes: Sequence[Axis], draw: Draw) -> list[dict[str, Any]]:
    """Different trials, drawn one after another: more trials of the same seed begin with the same ones."""
    generator = random.Random(draw.seed)
    found: dict[str, dict[str, Any]] = {}
    for _ in range(draw.trials * _TRIES):
        values = {
            axis.key: axis.values.draw(generator) if isinstance(axis.values, Range) else axis.values[generator.randrange(len(axis.values))] for axis in axes
        }
        found.setdefault(repr(values), values)
        if len(found) == draw.trials:
            return list(found.values())
    hint = f"Ask for {len(found)}, or for all combinations without --random." if len(found) > 1 else "Widen the ranges."
    raise InputError(f"{draw.trials} different trials were asked for, and only {len(found)} were found", where="--random", hint=hint)


def _check_values(recipe: str | os.PathLike[str], axes: Sequence[Axis], common: Mapping[str, Any]) -> None:
    """Try each value by itself first, so that a mistake is told once and not for each combination; of a range, its ends."""
    mistakes = []
    for axis in axes:
        for value in (axis.values.low, axis.values.high) if isinstance(axis.values, Range) else axis.values:
            try:
                load_recipe(recipe, {**common, axis.key: value})
            except InputError as error:
                mistakes.append(error)
    _tell(mistakes)


def _tell(mistakes: Sequence[InputError]) -> None:
    """Raise all mistakes of several recipes as one, each once."""
    if not mistakes:
        return
    if len({str(error) for error in mistakes}) == 1:
        raise mistakes[0]
    lines = dict.fromkeys(line for error in mistakes for line in (error.message.split("\n  ")[1:] or [error.message]))
    told = f"{len(lines)} mistakes" if len(lines) > 1 else "a mistake"
    raise InputError(f"the sweep has {told}:\n  " + "\n  ".join(lines), where=mistakes[0].where, hint=mistakes[0].hint)


def _check_together(trials: Sequence[Trial]) -> None:
    first_of: dict[str, int] = {}
    for number, trial in enumerate(trials, 1):
        first = first_of.setdefault(trial.recipe.model_dump_json(), number)
        if first != number:
            raise InputError(f"trials {first} and {number} are the same: {values_told(trial.values)}", where="command line", hint="Give each value once.")
    for key in _COMMON:
        found = list(dict.fromkeys(repr(_value_of(trial.recipe, key)) for trial in trials))
        if len(found) > 1:
            hint = f"Run a sweep for each: {key}={found[0]}, then {key}={found[1]}."
            raise InputError(f"{key!r} cannot vary: trials are compared on the same pictures, by the same score", where="command line", hint=hint)


def _value_of(recipe: Recipe, key: str) -> Any:
    """The value of a dotted key, as plain JSON."""
    value: Any = recipe.model_dump(mode="json")
    for part in key.split("."):
        value = value[part]
    return value
