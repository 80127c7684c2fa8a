"""The training loop: batches in, steps made, validations and the best step out. It can be read in one sitting."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clipcap_cli.events import Advanced, Finished, Listener, Started
from clipcap_cli.recipe import Recipe
from clipcap_cli.recipe.schema import TrainPart
from clipcap_cli.training.batches import batches_per_epoch, make_batch, order_of, pooled_order, shuffled_order
from clipcap_cli.training.learner import Learned, Learner
from clipcap_cli.training.samples import Samples

LOG_EVERY = 10  # steps between lines of metrics.jsonl
_SMOOTHING = 0.95  # of the loss on the progress bar


@dataclass(frozen=True)
class Found:
    """What a validation found.

    Attributes:
        loss: mean of a token.
        score: of the captions written; None where the best is chosen by the loss.
        captions: those written, by picture.
        seconds: what it took.
    """

    loss: float
    score: float | None = None
    captions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def is_better_than(self, other: Found | None) -> bool:
        """Whether its weights are to be kept in the place of the other's: the one place where that is decided."""
        if other is None:
            return math.isfinite(self.loss)
        if self.score is not None and other.score is not None:
            return self.score > other.score
        return self.loss < other.loss


@dataclass
class Position:
    """How far a training has come: all that the loop needs, beside what its learner is, to go on as if it had never stopped.

    Attributes:
        step: steps made.
        found: what each validation found, by its step, without captions.
        best_step: the validation whose weights are the best so far; 0 where there is none.
        since_best: validations that were no better.
        shown: the smoothed loss.
        waiting_loss, waiting_targets: of the steps that are in no line of the metrics yet.
        seconds: spent so far, however often it was stopped.
    """

    step: int = 0
    found: dict[int, Found] = field(default_factory=dict)
    best_step: int = 0
    since_best: int = 0
    shown: float = math.nan
    waiting_loss: float = 0.0
    waiting_targets: int = 0
    seconds: float = 0.0

    @property
    def best(self) -> Found | None:
        """What the best validation found; None where there is none."""
        return self.found.get(self.best_step)

    def add(self, learned: Learned) -> None:
        """A step was made."""
        loss = learned.loss_sum / max(1, learned.targets)
        self.step += 1
        self.shown = loss if self.step == 1 else _SMOOTHING * self.shown + (1 - _SMOOTHING) * loss
        self.waiting_loss += learned.loss_sum
        self.waiting_targets += learned.targets

    def take_waiting(self) -> float:
        """The mean loss of the steps that were in no line of the metrics yet; they are now."""
        mean = self.waiting_loss / max(1, self.waiting_targets)
        self.waiting_loss, self.waiting_targets = 0.0, 0
        return mean


@dataclass(frozen=True)
class Outcome:
    """How the loop ended; `interrupted` where it can be gone on with."""

    ended_because: str
    interrupted: bool


@dataclass(frozen=True)
class Hooks:
    """What the loop calls while it works.

    Attributes:
        log: gets a line of metrics.
        validate: looks at how good the weights are now; None where there is nothing to validate on, and the training loss has to do.
        validated: gets the step, what was found, and whether it is the best yet; the weights are still those.
        stepped: gets the position when all that belongs to a step is done, and whether the loop stops there to be gone on with later.
        should_stop: asked after each step.
    """

    log: Callable[[dict[str, Any]], None]
    validate: Callable[[], Found] | None
    validated: Callable[[int, Found, bool], None]
    stepped: Callable[[Position, bool], None]
    should_stop: Callable[[], bool]


def planned_steps(recipe: Recipe, captions: int) -> int:
    """Optimiser steps of the whole run."""
    an_epoch = _steps_per_epoch(recipe, captions)
    return recipe.train.epochs * an_epoch if recipe.train.steps is None or not an_epoch else recipe.train.steps


def _steps_per_epoch(recipe: Recipe, captions: int) -> int:
    batches = batches_per_epoch(captions, recipe.train.batch_size, drop_last=recipe.train.objective == "original")
    return -(-batches // recipe.train.accumulate)


def run_loop(learner: Learner, train: Samples, recipe: Recipe, position: Position, *, hooks: Hooks, events: Listener) -> Outcome:
    """Train until the steps are done, the time is up, nothing gets better, or somebody asks to stop.

    Args:
        position: where to begin; moved along with every step.

    Returns:
        How it ended; the weights are those of the last step.
    """
    settings, peers = recipe.train, learner.peers
    steps = planned_steps(recipe, len(train))
    prefix_length = learner.captioner.mapper.prefix_length
    began = time.monotonic() - position.seconds
    rates = _Rates()
    validates = hooks.validate is not None
    if _is_due(position, steps, settings) and position.step not in position.found:  # a checkpoint that was made in need, when a peer was lost
        _validate(position, hooks)
    # A run that was killed behind its last checkpoint may have nothing more to learn.
    ended = _reason_to_end(position, steps, settings, time_is_up=False, validates=validates)
    events(Started("train", steps, "steps", done=position.step))
    learner.begin()
    for epoch, group in _groups_of_batches(train, recipe, position.step) if ended is None else ():
        learned = learner.step([make_batch(train, members, prefix_length, peers.own) for members in group])
        position.add(learned)
        rates.add(sum(map(len, group)), learned.targets)
        events(Advanced("train", 1, {"loss": position.shown, "epoch": epoch, "lr": learned.rate, "captions_per_s": rates.captions_per_s()}))
        if position.step % LOG_EVERY == 0 or position.step == steps:
            hooks.log({"step": position.step, "epoch": epoch, "loss": position.take_waiting(), "lr": learned.rate, "tokens_per_s": rates.tokens_per_s()})

        asked, position.seconds = peers.highest(hooks.should_stop(), time.monotonic() - began)  # all end at the same step
        stopped = bool(asked) and position.step < steps
        time_is_up = not stopped and settings.max_minutes is not None and position.seconds >= settings.max_minutes * 60
        if _is_due(position, steps, settings) or time_is_up:
            with rates.paused():
                _validate(position, hooks)
            position.seconds = time.monotonic() - began
        ended = _reason_to_end(position, steps, settings, time_is_up=time_is_up, validates=validates)
        hooks.stepped(position, stopped and ended is None)
        if stopped or ended is not None:
            break
    events(Finished("train"))
    return Outcome(ended or "interrupted", interrupted=ended is None)


def _is_due(position: Position, steps: int, settings: TrainPart) -> bool:
    """Whether a validation belongs to the step."""
    return position.step > 0 and (position.step % settings.validate_every == 0 or position.step == steps)


def _validate(position: Position, hooks: Hooks) -> None:
    found = hooks.validate() if hooks.validate else Found(position.shown)
    is_best = found.is_better_than(position.best)
    position.found[position.step] = Found(found.loss, found.score)
    if is_best:
        position.best_step, position.since_best = position.step, 0
    else:
        position.since_best += 1
    hooks.validated(position.step, found, is_best)


def _reason_to_end(position: Position, steps: int, settings: TrainPart, *, time_is_up: bool, validates: bool) -> str | None:
    """Why nothing more is to be learned; None where there is."""
    if position.step == steps:
        return "all epochs done" if settings.steps is None else "all steps done"
    if time_is_up:
        return f"{settings.max_minutes:g} minutes were up"
    if validates and settings.patience is not None and position.since_best >= settings.patience:
        by_loss = position.best is None or position.best.score is None
        return f"no better {'validation loss' if by_loss else settings.select_by} in {position.since_best} validations"
    return None


class _Rates:
    """How fast it goes, validations left out."""

    def __init__(self) -> None:
        self._began = self._logged_at = time.monotonic()
        self._captions = self._targets = 0

    def add(self, captions: int, targets: int) -> None:
        self._captions += captions
        self._targets += targets

    def captions_per_s(self) -> float:
        return self._captions / max(time.monotonic() - self._began, 1e-9)

    def tokens_per_s(self) -> int:
        """Since this was asked the last time."""
        now = time.monotonic()
        rate = self._targets / max(now - self._logged_at, 1e-9)
        self._targets, self._logged_at = 0, now
        return round(rate)

    @contextmanager
    def paused(self) -> Iterator[None]:
        before = time.monotonic()
        yield
        away = time.monotonic() - before
        self._began += away
        self._logged_at += away


def _groups_of_batches(samples: Samples, recipe: Recipe, start: int) -> Iterator[tuple[int, list[np.ndarray]]]:
    """(epoch from 1, the batches of one step) from step `start` on; the order depends on the seed and the epoch alone."""
    accumulate, batch_size = recipe.train.accumulate, recipe.train.batch_size
    begun, skipped = divmod(start, _steps_per_epoch(recipe, len(samples)))
    for epoch in itertools.count(begun + 1):
        generator = np.random.default_rng([recipe.seed, epoch])
        skip = skipped * accumulate if epoch == begun + 1 else 0
        if recipe.train.objective == "original":
            batches = iter(shuffled_order(len(samples), batch_size, generator)[skip:])
        elif samples.measured:
            batches = iter(order_of(samples.lengths, batch_size, generator)[skip:])
        else:
            batches = pooled_order(samples, batch_size, generator, skip)
        while group := list(itertools.islice(batches, accumulate)):
            yield epoch, group
