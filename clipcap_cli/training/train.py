"""One training from recipe to bundle: gather what the recipe names, say what is planned, run the loop, keep the best; or go on with one that was stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch

from clipcap_cli.captioner.bundle import save_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.encoders.memory import keeping_freed_memory
from clipcap_cli.encoders.precision import choose_precision
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import InputError, UnreachableError
from clipcap_cli.events import Listener, Note, Validated, silent
from clipcap_cli.recipe import Recipe, dump_recipe, load_recipe
from clipcap_cli.storage.atomic import new_folder, store_errors, write_json, write_text
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.training import lock as locks
from clipcap_cli.training.checkpoints import Keeper, choose_checkpoint, restore, stamp, tidy
from clipcap_cli.training.determinism import deterministic, prepare_determinism
from clipcap_cli.training.differences import decisive, differences, told
from clipcap_cli.training.interrupts import stop_requests
from clipcap_cli.training.learner import Learner
from clipcap_cli.training.loop import Found, Hooks, Position, planned_steps, run_loop
from clipcap_cli.training.material import Material, gather, open_material, settled
from clipcap_cli.training.peers import Peers, joined
from clipcap_cli.training.plan import plan
from clipcap_cli.training.rescue import rescuing
from clipcap_cli.training.runs import RUN_FILE, Run, RunInfo, Status, list_checkpoints, new_run, run_lock
from clipcap_cli.training.starting import new_captioner
from clipcap_cli.training.trackers.registry import Trackers, load_trackers
from clipcap_cli.training.validation import BY_LOSS, ScorerFactory, Validation
from clipcap_cli.words import count


@dataclass(frozen=True)
class _Bench:
    """All that stands ready for a training.

    Attributes:
        lock: what it is made of and on.
        computing: for people, the precision and why.
    """

    material: Material
    captioner: Captioner
    validation: Validation | None
    trackers: Trackers
    lock: locks.Lock
    precision: str
    computing: str
    peers: Peers

    @property
    def recipe(self) -> Recipe:
        return self.material.recipe

    @property
    def steps(self) -> int:
        return planned_steps(self.recipe, len(self.material.samples))

    @property
    def select_by(self) -> str:
        return self.validation.select_by if self.validation else BY_LOSS


def train(
    recipe: Recipe | str | os.PathLike[str],
    overrides: Mapping[str, Any] | Iterable[str] = (),
    *,
    stop_after: int | None = None,
    made_again: str | None = None,
    home: Home | None = None,
    device: str = "auto",
    events: Listener = silent,
    scorer: ScorerFactory | None = None,
) -> Run:
    """Train a captioner.

    Args:
        recipe: a Recipe, a path, or the name of a shipped recipe.
        overrides: `{"train.epochs": 3}` or `["train.epochs=3"]`; only with a path or name.
        stop_after: steps after which it stops, to be gone on with.
        made_again: the run that it repeats; it is written down.
        device: "auto", "cpu", "cuda", ….; where several processes were started together (torchrun), each takes the one of its number.
        scorer: makes what scores captions for `train.select_by`; None to choose the best by the validation loss.

    Returns:
        The run; `run.best` is the bundle. A run that was interrupted is returned too, with `run.info.status == "stopped"`.

    Raises:
        InputError: the recipe, the dataset or a model it names is wrong.
        MissingError: weights or a package are missing.
        StoreError: the store cannot be written.
        UnreachableError: a process that it was trained together with is gone; it can be gone on with.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    home = (home or open_home()).prepare()
    with joined(device) as peers:
        events = events if peers.is_first else silent
        bench = _set_up(recipe, home, peers, device, events, scorer, made_again)
        learner = Learner(bench.captioner, bench.recipe, bench.steps, bench.precision, peers)
        with _begun(recipe, bench, home) as run:
            if peers.is_first:
                for line in plan(bench.material, bench.captioner, bench.steps, bench.validation):
                    events(Note(line))
            _carry_out(run, run.info_of_holder, bench, learner, Position(), stop_after, events)
    return run


@contextmanager
def _begun(recipe: Recipe, bench: _Bench, home: Home) -> Iterator[Run]:
    """Yield the new run; the first process makes its folder and holds its lock."""
    if not bench.peers.is_first:
        yield Run(home, bench.peers.exchange(None)[0])
        return
    with new_run(home, recipe.name) as run, store_errors(run.path):
        info = RunInfo(
            name=run.name,
            status="running",
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            dataset=bench.material.dataset.name if bench.material.dataset else str(recipe.dataset.texts),
            dataset_version=bench.material.dataset.version if bench.material.dataset else 0,
            encoder=bench.recipe.encoder.name,
            language_model=bench.recipe.language_model.name,
            planned_steps=bench.steps,
            select_by=bench.select_by,
        )
        with new_folder(run.path) as part:
            write_text(part / "recipe.yaml", dump_recipe(bench.recipe))
            write_text(part / locks.FILE, locks.lock_json(bench.lock))
            write_json(part / RUN_FILE, vars(info))
        bench.peers.exchange(run.name)
        yield run


def resume(
    run: Run,
    *,
    from_step: int | None = None,
    stop_after: int | None = None,
    device: str = "auto",
    events: Listener = silent,
    scorer: ScorerFactory | None = None,
) -> Run:
    """Go on with a run that was stopped, failed, or was killed, from its newest checkpoint: to the bit as if it had never stopped.

    A run without a checkpoint is begun again from its first step; one that has finished stays as it is.

    Args:
        from_step: the checkpoint to go on from; later ones are made again.
        stop_after, device, events, scorer: as for `train`.

    Raises:
        InputError: what it learns from is not what it was, or there is no such checkpoint.
        MissingError: weights or a package are missing.
        StoreError: it is training now, or its files are damaged.
        UnreachableError: as for `train`.
    """
    with joined(device) as peers, store_errors(run.path), run_lock(run) if peers.is_first else nullcontext():
        events = events if peers.is_first else silent
        info = run.info_of_holder
        if info.status == "finished" and from_step is None:
            events(Note(f"{run.name} has finished already ({info.ended_because})"))
            if peers.is_first:
                tidy(run, run.recipe.checkpoints)
            return run
        recipe, then = run.recipe, locks.read_lock(run.path)
        bench = _set_up(recipe, run.home, peers, device, events, scorer, then.made_again if then else None)
        if then is not None:
            _check_unchanged(run, then, bench.lock, events)
        learner = Learner(bench.captioner, bench.recipe, bench.steps, bench.precision, peers)
        position = _brought_back(run, learner, from_step, events)
        events(Note(f"{run.name} goes on from step {position.step:,} of {bench.steps:,}"))
        info = replace(info, status="running", ended_because="")
        if peers.is_first:
            run.write_info(info)
        _carry_out(run, info, bench, learner, position, stop_after, events)
    return run


def _brought_back(run: Run, learner: Learner, from_step: int | None, events: Listener) -> Position:
    """How far the checkpoint was that is gone on from; the first process chooses it, and takes away what will be made again."""
    peers = learner.peers
    if peers.is_first:
        chosen = choose_checkpoint(run, from_step, events)
        peers.exchange(chosen.step if chosen else None)
    else:
        step = peers.exchange(None)[0]
        chosen = next((checkpoint for checkpoint in list_checkpoints(run) if checkpoint.step == step), None)
    if chosen is not None:
        return restore(chosen, run, learner)
    if peers.is_first:
        run.cut_metrics(0)
    return Position()


def _set_up(recipe: Recipe, home: Home, peers: Peers, device: str, events: Listener, scorer: ScorerFactory | None, made_again: str | None) -> _Bench:
    with peers.first_goes_first():
        return _make_bench(recipe, home, peers, device, events, scorer, made_again)


def _make_bench(recipe: Recipe, home: Home, peers: Peers, device: str, events: Listener, scorer: ScorerFactory | None, made_again: str | None) -> _Bench:
    dataset = open_material(recipe, home)
    where = peers.device
    prepare_determinism(where)
    precision, reason = choose_precision(recipe.train.precision, where)
    trackers = Trackers(load_trackers(recipe.train.trackers if peers.is_first else []), events)
    encoder = load_encoder(recipe.encoder.name, home=home, device=str(where), events=events)
    language_model = load_language_model(recipe.language_model.name, home=home, dropout=recipe.train.dropout)
    folder = language_model.folder
    material = gather(settled(recipe, dataset, encoder, language_model), dataset, encoder, language_model, home, events)
    validation = Validation(material.val, material.shown, material.store, recipe.train, scorer) if material.val and material.store else None
    lock = locks.take_lock(material.recipe, recipe, dataset, encoder, folder, home, where, precision, made_again, peers.count)
    torch.manual_seed(recipe.seed)  # not before: what is embedded or loaded on the way may draw numbers, and may be there already next time
    captioner = new_captioner(material, encoder, language_model, home, where)
    threads = torch.get_num_threads()
    computing = f"{precision}: {reason}" + (f"; {count(threads, 'thread')}" if where.type == "cpu" else "")
    if peers.count > 1:
        share = -(-recipe.train.batch_size // peers.count)
        computing += f"; {peers.count} processes, each with {share} of the {recipe.train.batch_size} captions of a batch"
    return _Bench(material, captioner, validation, trackers, lock, precision, computing, peers)


def _check_unchanged(run: Run, then: locks.Lock, now: locks.Lock, events: Listener) -> None:
    """Refuse to go on with other data or weights; with another machine or package it only does not come out to the bit."""
    found = differences(then, now)
    if decisive(found):
        raise InputError(
            f"run {run.name!r} cannot be gone on with, something else would come out: {told(decisive(found))}",
            where=str(run.path),
            hint="Bring back what it was made of, or train anew.",
        )
    if found:
        events(Note(f"since this run was begun, something has changed that can change its last digits: {told(found)}", "warning"))


def _carry_out(run: Run, info: RunInfo, bench: _Bench, learner: Learner, position: Position, stop_after: int | None, events: Listener) -> None:
    """The loop, from `position` to its end or to where it is stopped. Only the first process writes."""
    captioner, keeper = bench.captioner, Keeper(run, learner, bench.recipe.checkpoints, bench.select_by)
    events(Note(bench.computing))
    begun_at = position.step
    is_first = bench.peers.is_first
    try:
        with (
            bench.trackers.following(run.name, run.path, bench.recipe.model_dump(mode="json"), begun_at) if is_first else nullcontext(),
            stop_requests() as was_asked,
            keeping_freed_memory(),
            deterministic(captioner.device, events),
        ):
            hooks = Hooks(
                log=_logger(run, bench.trackers) if is_first else _nothing,
                validate=partial(bench.validation, captioner, bench.precision, events, bench.peers) if bench.validation else None,
                validated=_best_keeper(run, bench, events) if is_first else _nothing,
                stepped=keeper.stepped if is_first else _nothing,
                should_stop=lambda: was_asked() or (stop_after is not None and position.step - begun_at >= stop_after),
            )
            with rescuing(run, keeper, bench.peers, position):
                outcome = run_loop(learner, bench.material.samples, bench.recipe, position, hooks=hooks, events=events)
        if not is_first:
            return
        stamp(captioner, run, position.step, position.found.get(position.step), bench.select_by)
        if not run.best.exists():  # interrupted before the first validation
            save_bundle(captioner, run.best)
        if not outcome.interrupted:
            save_bundle(captioner, run.path / "last")
            if bench.recipe.checkpoints.keep_optimizer:
                keeper.save(position)
    except BaseException as error:
        if not is_first:
            raise
        words = error.message if isinstance(error, UnreachableError) else str(error)
        because = "interrupted at once" if isinstance(error, KeyboardInterrupt) else words or type(error).__name__
        run.write_info(_standing(info, position, "stopped" if isinstance(error, KeyboardInterrupt) else "failed", because))
        raise
    because = outcome.ended_because if was_asked() or not outcome.interrupted else f"as asked, after {count(position.step - begun_at, 'step')}"
    run.write_info(_standing(info, position, "stopped" if outcome.interrupted else "finished", because))
    if not outcome.interrupted:  # and not before that is written: until then they are what the run goes on from
        tidy(run, bench.recipe.checkpoints)


def _standing(info: RunInfo, position: Position, status: Status, because: str) -> RunInfo:
    best = position.best
    return replace(
        info,
        status=status,
        steps=position.step,
        minutes=round(position.seconds / 60, 2),
        best_step=position.best_step if best else None,
        best_loss=_rounded(best.loss) if best else None,
        best_score=_rounded(best.score) if best else None,
        ended_because=because,
    )


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)


def _nothing(*_: Any) -> None:
    """What the other processes do where the first one writes."""


def _logger(run: Run, trackers: Trackers) -> Callable[[dict[str, Any]], None]:
    """What happens to the figures of some steps: they are written into metrics.jsonl and told to the trackers."""

    def log(values: dict[str, Any]) -> None:
        run.log(values)
        trackers.log(values["step"], {name: value for name, value in values.items() if name != "step"})

    return log


def _best_keeper(run: Run, bench: _Bench, events: Listener) -> Callable[[int, Found, bool], None]:
    """What happens after a validation: it is written down and told to whoever listens, and the bundle is kept if it is the best yet."""
    select_by, shown = bench.select_by, bench.validation.shown if bench.validation else []
    label = "validation loss" if bench.validation else "training loss"

    def keep(step: int, found: Found, is_best: bool) -> None:
        samples = {name: found.captions[name] for name in shown}
        run.log(
            {
                "step": step,
                "val_loss": found.loss,
                "score": found.score,
                "select_by": select_by,
                "best": is_best,
                "seconds": round(found.seconds, 2),
                "samples": [{"image": name, "caption": caption} for name, caption in samples.items()],
            }
        )
        score = {} if found.score is None else {select_by: found.score}
        bench.trackers.log(step, {**score, "val_loss": found.loss})
        events(Validated(step, {**score, label: found.loss}, is_best, samples))
        if is_best:
            stamp(bench.captioner, run, step, found, select_by)
            save_bundle(bench.captioner, run.best)

    return keep
