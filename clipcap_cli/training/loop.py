"""The training loop: batches in, steps made, validations and the best step out. It can be read in one sitting."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.events import Advanced, Finished, Listener, Started
from clipcap_cli.recipe import Recipe
from clipcap_cli.training.batches import batches_per_epoch, make_batch, order_of, pooled_order, shuffled_order
from clipcap_cli.training.objective import caption_loss, computing_in
from clipcap_cli.training.optimizer import make_optimizer, make_schedule
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


@dataclass(frozen=True)
class Outcome:
    """How the loop ended; `best` is what the validation at `best_step` found, None where there was none."""

    steps: int
    minutes: float
    best_step: int
    best: Found | None
    ended_because: str
    interrupted: bool


@dataclass(frozen=True)
class Hooks:
    """What the loop calls while it works.

    Attributes:
        log: gets a line of metrics.
        validate: looks at how good the weights are now; None where there is nothing to validate on, and the training loss has to do.
        validated: gets the step, what was found, and whether it is the best yet; the weights are still those.
        should_stop: asked after each step.
    """

    log: Callable[[dict[str, Any]], None]
    validate: Callable[[], Found] | None
    validated: Callable[[int, Found, bool], None]
    should_stop: Callable[[], bool]


def planned_steps(recipe: Recipe, captions: int) -> int:
    """Optimiser steps of the whole run."""
    batches = batches_per_epoch(captions, recipe.train.batch_size, drop_last=recipe.train.objective == "original")
    an_epoch = -(-batches // recipe.train.accumulate)
    return recipe.train.epochs * an_epoch if recipe.train.steps is None or not an_epoch else recipe.train.steps


def run_loop(captioner: Captioner, train: Samples, recipe: Recipe, *, precision: str, hooks: Hooks, events: Listener) -> Outcome:
    """Train the captioner's mapper (and language model, where its parameters have gradients) in place.

    Args:
        precision: "fp32" or "bf16".

    Returns:
        How it ended; the weights are those of the last step.
    """
    settings = recipe.train
    device = next(captioner.mapper.parameters()).device
    tunes_lm = any(parameter.requires_grad for parameter in captioner.language_model.parameters())
    optimizer = make_optimizer(captioner.mapper, captioner.language_model, settings)
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    steps = planned_steps(recipe, len(train))
    schedule = make_schedule(optimizer, steps, settings)
    noise_generator = torch.Generator().manual_seed(recipe.seed)
    prefix_length = captioner.mapper.prefix_length

    best_step, since_best = 0, 0
    best: Found | None = None
    started = time.monotonic()
    ended_because, interrupted = "all epochs done" if settings.steps is None else "all steps done", False
    shown: float | None = None
    logged_loss, logged_tokens, logged_at = 0.0, 0, started
    step, captions, validating_s = 0, 0, 0.0
    events(Started("train", steps, "steps"))
    captioner.mapper.train()
    captioner.language_model.train(tunes_lm)
    for epoch, group in _groups_of_batches(train, recipe):
        batches = [make_batch(train, members, prefix_length) for members in group]
        targets = sum(batch.count for batch in batches)
        loss_sum = 0.0
        for batch in (batch.to(device) for batch in batches if batch.count):  # one without anything to learn has no loss
            with computing_in(precision, device):
                loss = caption_loss(
                    batch,
                    captioner.preparation,
                    captioner.mapper,
                    captioner.language_model,
                    noise=recipe.encoder.noise,
                    label_smoothing=settings.label_smoothing,
                    generator=noise_generator,
                )
            # Batches of a step count by their tokens, as if they were one.
            (loss * (batch.count / targets)).backward()  # type: ignore[no-untyped-call]
            loss_sum += loss.item() * batch.count
        if settings.clip_grad is not None:
            nn.utils.clip_grad_norm_(trained, settings.clip_grad)
        optimizer.step()
        optimizer.zero_grad()
        rate = float(schedule.get_last_lr()[0])
        schedule.step()
        step += 1

        loss_now = loss_sum / max(1, targets)
        shown = loss_now if shown is None else _SMOOTHING * shown + (1 - _SMOOTHING) * loss_now
        captions += sum(map(len, group))
        captions_per_s = captions / max(time.monotonic() - started - validating_s, 1e-9)
        events(Advanced("train", 1, {"loss": shown, "epoch": epoch, "lr": rate, "captions_per_s": captions_per_s}))
        logged_loss, logged_tokens = logged_loss + loss_sum, logged_tokens + targets
        if step % LOG_EVERY == 0 or step == steps:
            now = time.monotonic()
            per_second = logged_tokens / max(now - logged_at, 1e-9)
            hooks.log({"step": step, "epoch": epoch, "loss": logged_loss / max(1, logged_tokens), "lr": rate, "tokens_per_s": round(per_second)})
            logged_loss, logged_tokens, logged_at = 0.0, 0, now

        minutes = (time.monotonic() - started) / 60
        interrupted = hooks.should_stop()
        out_of_time = settings.max_minutes is not None and minutes >= settings.max_minutes
        last = interrupted or out_of_time or step == steps
        if step % settings.validate_every == 0 or (last and not interrupted):
            before = time.monotonic()
            found = hooks.validate() if hooks.validate else Found(shown)
            is_best = found.is_better_than(best)
            if is_best:
                best_step, best, since_best = step, found, 0
            else:
                since_best += 1
            hooks.validated(step, found, is_best)
            logged_at = time.monotonic()
            validating_s += logged_at - before
            if hooks.validate and settings.patience is not None and since_best >= settings.patience and not last:
                ended_because = f"no better {'validation loss' if found.score is None else settings.select_by} in {since_best} validations"
                break
        if interrupted or out_of_time:
            ended_because = "interrupted" if interrupted else f"{settings.max_minutes:g} minutes were up"
            break
        if step == steps:
            break
    events(Finished("train"))
    return Outcome(step, (time.monotonic() - started) / 60, best_step, best, ended_because, interrupted)


def _groups_of_batches(samples: Samples, recipe: Recipe) -> Iterator[tuple[int, list[np.ndarray]]]:
    """(epoch from 1, the batches of one step) over all epochs; the order depends on the seed and the epoch alone."""
    accumulate = recipe.train.accumulate
    for epoch in range(1, recipe.train.epochs + 1) if recipe.train.steps is None else itertools.count(1):
        generator = np.random.default_rng([recipe.seed, epoch])
        if recipe.train.objective == "original":
            order: Iterable[np.ndarray] = shuffled_order(len(samples), recipe.train.batch_size, generator)
        elif samples.measured:
            order = order_of(samples.lengths, recipe.train.batch_size, generator)
        else:
            order = pooled_order(samples, recipe.train.batch_size, generator)
        batches = iter(order)
        while group := list(itertools.islice(batches, accumulate)):
            yield epoch, group
