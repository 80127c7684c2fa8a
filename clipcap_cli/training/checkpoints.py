"""Checkpoints: what a run has to have on disk to be gone on with, and which of them are kept.

    runs/NAME/checkpoints/step-00000500/captioner.json mapper.safetensors lm/ …   a bundle, which captions like any other
                                       /resume/state.json tensors.safetensors     the optimiser, random streams, and how far the loop was

When a run has finished, `resume/` goes, and so do the checkpoints that were only there to go on from.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from clipcap_cli.captioner.bundle import load_bundle, write_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.errors import ClipcapError, InputError, StoreError
from clipcap_cli.events import Listener, Note
from clipcap_cli.recipe.schema import CheckpointPart
from clipcap_cli.storage.atomic import new_folder, remove_folder, write_json
from clipcap_cli.storage.hashing import sha256_of_file
from clipcap_cli.storage.reading import read_json
from clipcap_cli.training.learner import Learner, Momentum
from clipcap_cli.training.loop import Found, Position
from clipcap_cli.training.runs import CHECKPOINTS, RESUME, STATE, Checkpoint, Run, list_checkpoints

FORMAT = 1
_TENSORS = "tensors.safetensors"


def steps_to_keep(steps: Sequence[int], found: Mapping[int, Found], rule: CheckpointPart, *, finished: bool = False) -> set[int]:
    """Those of the steps whose checkpoint is kept.

    Args:
        found: what validations found, by step.
        finished: nothing has to be gone on with any more.
    """
    kept = {step for step in steps if rule.keep_every is not None and step % rule.keep_every == 0}
    kept |= set(_ranked([step for step in steps if step in found], found)[: rule.keep_best])
    if not finished:
        kept |= set(sorted(steps)[-rule.keep_last :])
    elif rule.keep_optimizer:
        kept |= set(sorted(steps)[-1:])
    return kept


def _ranked(steps: Sequence[int], found: Mapping[int, Found]) -> list[int]:
    """Steps by what their validations found, the best first, the earlier of equals first; those that found no number are no good."""
    ranked: list[int] = []
    for step in sorted(step for step in steps if found[step].is_better_than(None)):
        place = next((place for place, other in enumerate(ranked) if found[step].is_better_than(found[other])), len(ranked))
        ranked.insert(place, step)
    return ranked


class Keeper:
    """Makes checkpoints of one run when they are due, and removes those that nothing keeps.

    Args:
        learner: what is written down.
        select_by: what the best is chosen by; it is written beside a score.
    """

    def __init__(self, run: Run, learner: Learner, rule: CheckpointPart, select_by: str) -> None:
        self._run = run
        self._learner = learner
        self._rule = rule
        self._select_by = select_by
        self._last_at = time.monotonic()

    def stepped(self, position: Position, stopping: bool) -> None:
        """All that belongs to a step is done; `stopping`: the process ends here, and the run is to be gone on with."""
        if stopping or self._is_due(position):
            self.save(position)
            _remove(self._run, position.found, self._rule, finished=False)
            self._last_at = time.monotonic()

    def save(self, position: Position) -> None:
        """Write a checkpoint, whole or not at all."""
        momentum = self._learner.momentum()
        stamp(self._learner.captioner, self._run, position.step, position.found.get(position.step), self._select_by)
        with new_folder(self._run.path / CHECKPOINTS / f"step-{position.step:08d}", replace=True) as part:
            write_bundle(self._learner.captioner, part)
            (part / RESUME).mkdir()
            save_file({name: value.contiguous() for name, value in momentum.tensors.items()}, part / RESUME / _TENSORS)
            state = {
                "format": FORMAT,
                "position": _as_json(position),
                "metrics_bytes": self._run.metrics_bytes(),
                "momentum": momentum.facts,
                "files": {_TENSORS: sha256_of_file(part / RESUME / _TENSORS)},
            }
            write_json(part / RESUME / STATE, state)

    def _is_due(self, position: Position) -> bool:
        rule, step = self._rule, position.step
        by_steps = any(every is not None and step % every == 0 for every in (rule.every_steps, rule.keep_every))
        by_minutes = rule.every_minutes is not None and time.monotonic() - self._last_at >= rule.every_minutes * 60
        is_good = step in position.found and step in _ranked(list(position.found), position.found)[: rule.keep_best]
        return by_steps or by_minutes or is_good


def tidy(run: Run, rule: CheckpointPart) -> None:
    """Remove from a finished run what was only there to go on from. Doing it twice does nothing more."""
    found = {line["step"]: Found(line["val_loss"], line["score"]) for line in run.metrics() if "val_loss" in line}
    _remove(run, found, rule, finished=True)
    for checkpoint in list_checkpoints(run):
        if checkpoint.can_resume and not rule.keep_optimizer:
            remove_folder(checkpoint.path / RESUME)
    with suppress(OSError):
        (run.path / CHECKPOINTS).rmdir()  # where none is kept


def _remove(run: Run, found: Mapping[int, Found], rule: CheckpointPart, *, finished: bool) -> None:
    there = list_checkpoints(run)
    kept = steps_to_keep([checkpoint.step for checkpoint in there], found, rule, finished=finished)
    for checkpoint in there:
        if checkpoint.step not in kept:
            remove_folder(checkpoint.path)


def stamp(captioner: Captioner, run: Run, step: int, found: Found | None, select_by: str) -> None:
    """Write into a captioner where its weights come from: the run, the step, and what a validation found there."""
    captioner.info["training"] = {"run": run.name, "step": step}
    if found is not None:
        captioner.info["training"] |= {"loss": round(found.loss, 4), "select_by": select_by, "score": None if found.score is None else round(found.score, 4)}


def choose_checkpoint(run: Run, step: int | None, events: Listener) -> Checkpoint | None:
    """The checkpoint to go on from: that of `step`, or the newest that is whole; None where there is none and none was asked for.

    Raises:
        InputError: there is none of that step.
        StoreError: it is damaged.
    """
    there = [checkpoint for checkpoint in list_checkpoints(run) if checkpoint.can_resume]
    if step is not None:
        chosen = next((checkpoint for checkpoint in there if checkpoint.step == step), None)
        if chosen is None:
            steps = ", ".join(f"{checkpoint.step:,}" for checkpoint in there)
            raise InputError(
                f"run {run.name!r} has no checkpoint of step {step:,} to go on from", hint=f"It has those of {steps}." if there else "It has none."
            )
        _read_state(chosen)
        return chosen
    for checkpoint in reversed(there):
        try:
            _read_state(checkpoint)
        except StoreError as error:
            events(Note(f"the checkpoint of step {checkpoint.step:,} cannot be used ({error.message}); the one before it is tried", "warning"))
        else:
            return checkpoint
    return None


def restore(checkpoint: Checkpoint, run: Run, learner: Learner) -> Position:
    """Bring learner and metrics back to where a checkpoint was made; the first of several processes sees to the metrics.

    Returns:
        How far the loop was.

    Raises:
        StoreError: the checkpoint is damaged.
    """
    state = _read_state(checkpoint)
    source = load_bundle(checkpoint.path, home=run.home, device="cpu")
    learner.restore(source, Momentum(load_file(checkpoint.path / RESUME / _TENSORS), state["momentum"]))
    if learner.peers.is_first:
        run.cut_metrics(int(state["metrics_bytes"]))
        for later in list_checkpoints(run):
            if later.step > checkpoint.step:  # it will be made again
                remove_folder(later.path)
    return _from_json(state["position"])


def _read_state(checkpoint: Checkpoint) -> dict[str, Any]:
    """state.json, its tensors checked.

    Raises:
        StoreError: something is missing, damaged, or was written by a newer clipcap.
    """
    folder = checkpoint.path / RESUME
    try:
        state: dict[str, Any] = read_json(folder / STATE)
        if state["format"] > FORMAT:
            raise StoreError(f"this checkpoint has format {state['format']}, newer than the {FORMAT} that this clipcap knows", where=str(folder))
        _from_json(state["position"])
        if sha256_of_file(folder / _TENSORS) != state["files"][_TENSORS]:
            raise _damaged(folder, f"{_TENSORS} was changed")
    except ClipcapError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError, RecursionError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from error
    return state


def _damaged(folder: Path, reason: str) -> StoreError:
    hint = f"Remove {folder.parent}; the run is gone on with from the one before, or from its start."
    return StoreError(f"this checkpoint is damaged: {reason}", where=str(folder), hint=hint)


def _as_json(position: Position) -> dict[str, Any]:
    """Numbers that are none (a loss of NaN) become null: the file is JSON for everybody."""
    found = {step: {"loss": _number(it.loss), "score": it.score} for step, it in position.found.items()}
    return {**asdict(position), "found": found, "shown": _number(position.shown), "waiting_loss": _number(position.waiting_loss)}


def _from_json(facts: Mapping[str, Any]) -> Position:
    found = {int(step): Found(_or_nan(it["loss"]), it["score"]) for step, it in facts["found"].items()}
    return Position(**{**facts, "found": found, "shown": _or_nan(facts["shown"]), "waiting_loss": _or_nan(facts["waiting_loss"])})


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
