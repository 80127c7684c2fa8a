"""One training from recipe to bundle: gather what the recipe names, say what is planned, run the loop, keep the best."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import torch

from clipcap_cli.captioner.adapters import add_adapters
from clipcap_cli.captioner.bundle import load_bundle, save_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.captioner.mappers import Preparation, build_mapper
from clipcap_cli.captioner.models import find_captioner
from clipcap_cli.encoders.base import ImageEncoder
from clipcap_cli.encoders.memory import keeping_freed_memory
from clipcap_cli.encoders.precision import choose_device, choose_precision
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, Note, Validated, silent
from clipcap_cli.recipe import Recipe, dump_recipe, load_recipe
from clipcap_cli.storage.atomic import store_errors, write_text
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.storage.names import free_name
from clipcap_cli.training.interrupts import stop_requests
from clipcap_cli.training.loop import Found, Hooks, Outcome, planned_steps, run_loop
from clipcap_cli.training.material import Material, gather, open_material
from clipcap_cli.training.plan import plan
from clipcap_cli.training.runs import Run, RunInfo, run_lock
from clipcap_cli.training.trackers.registry import Trackers, load_trackers
from clipcap_cli.training.validation import BY_LOSS, ScorerFactory, Validation

_FITTED_ON = 20_000  # pictures at most, evenly taken: mean and deviation are known well enough by then


def train(
    recipe: Recipe | str | os.PathLike[str],
    overrides: Mapping[str, Any] | Iterable[str] = (),
    *,
    home: Home | None = None,
    device: str = "auto",
    events: Listener = silent,
    scorer: ScorerFactory | None = None,
) -> Run:
    """Train a captioner.

    Args:
        recipe: a Recipe, a path, or the name of a shipped recipe.
        overrides: `{"train.epochs": 3}` or `["train.epochs=3"]`; only with a path or name.
        device: "auto", "cpu", "cuda", ….
        scorer: makes what scores captions for `train.select_by`; None to choose the best by the validation loss.

    Returns:
        The run; `run.best` is the bundle. A run that was interrupted is returned too, with `run.info.status == "stopped"`.

    Raises:
        InputError: the recipe, the dataset or a model it names is wrong.
        MissingError: weights or a package are missing.
        StoreError: the store cannot be written.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    home = (home or open_home()).prepare()
    dataset = open_material(recipe, home)
    where = choose_device(device)
    precision, reason = choose_precision(recipe.train.precision, where)
    trackers = Trackers(load_trackers(recipe.train.trackers), events)

    encoder = load_encoder(recipe.encoder.name, home=home, device=device, events=events)
    language_model = load_language_model(recipe.language_model.name, home=home, dropout=recipe.train.dropout)
    material = gather(recipe, dataset, encoder, language_model, home, events)
    recipe, samples = material.recipe, material.samples
    validation = Validation(material.val, material.shown, material.store, recipe.train, scorer) if material.val and material.store else None
    torch.manual_seed(recipe.seed)  # not before: what is embedded or loaded on the way may draw numbers, and may be there already next time
    captioner = _new_captioner(material, encoder, language_model, home, where)

    run = Run(home, free_name(home.runs, recipe.name))
    with store_errors(run.path), run_lock(run):
        run.path.mkdir(parents=True)
        write_text(run.path / "recipe.yaml", dump_recipe(recipe))
        info = RunInfo(
            name=run.name,
            status="running",
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            dataset=dataset.name if dataset else str(recipe.dataset.texts),
            dataset_version=dataset.version if dataset else 0,
            encoder=recipe.encoder.name,
            language_model=recipe.language_model.name,
            planned_steps=planned_steps(recipe, len(samples)),
            select_by=validation.select_by if validation else BY_LOSS,
        )
        run.write_info(info)
        for line in plan(material, captioner, info.planned_steps, validation):
            events(Note(line))
        threads = torch.get_num_threads()
        events(Note(f"{precision}: {reason}; {threads} thread{'s' * (threads != 1)}" if where.type == "cpu" else f"{precision}: {reason}"))
        try:
            with trackers.following(run.name, run.path, recipe.model_dump(mode="json")), stop_requests() as should_stop, keeping_freed_memory():
                hooks = Hooks(
                    log=_logger(run, trackers),
                    validate=partial(validation, captioner, precision, events) if validation else None,
                    validated=_keeper(run, captioner, validation, trackers, events),
                    should_stop=should_stop,
                )
                outcome = run_loop(captioner, samples, recipe, precision=precision, hooks=hooks, events=events)
            save_bundle(captioner, run.path / "last")
            if not run.best.exists():  # interrupted before the first validation
                save_bundle(captioner, run.best)
        except BaseException as error:
            run.write_info(
                replace(info, status="stopped" if isinstance(error, KeyboardInterrupt) else "failed", ended_because=str(error) or type(error).__name__)
            )
            raise
        run.write_info(_ended(info, outcome))
    return run


def _ended(info: RunInfo, outcome: Outcome) -> RunInfo:
    best = outcome.best
    return replace(
        info,
        status="stopped" if outcome.interrupted else "finished",
        steps=outcome.steps,
        minutes=round(outcome.minutes, 2),
        best_step=outcome.best_step if best else None,
        best_loss=_rounded(best.loss) if best else None,
        best_score=_rounded(best.score) if best else None,
        ended_because=outcome.ended_because,
    )


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)


def _logger(run: Run, trackers: Trackers) -> Callable[[dict[str, Any]], None]:
    """What happens to the figures of some steps: they are written into metrics.jsonl and told to the trackers."""

    def log(values: dict[str, Any]) -> None:
        run.log(values)
        trackers.log(values["step"], {name: value for name, value in values.items() if name != "step"})

    return log


def _keeper(run: Run, captioner: Captioner, validation: Validation | None, trackers: Trackers, events: Listener) -> Callable[[int, Found, bool], None]:
    """What happens after a validation: it is written down and told to whoever listens, and the bundle is kept if it is the best yet."""
    select_by, shown = (validation.select_by, validation.shown) if validation else (BY_LOSS, [])
    label = "validation loss" if validation else "training loss"

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
        trackers.log(step, {**score, "val_loss": found.loss})
        events(Validated(step, {**score, label: found.loss}, is_best, samples))
        if is_best:
            captioner.info["training"] = {
                "run": run.name,
                "step": step,
                "loss": _rounded(found.loss),
                "select_by": select_by,
                "score": _rounded(found.score),
            }
            save_bundle(captioner, run.best)

    return keep


def _new_captioner(material: Material, encoder: ImageEncoder, language_model: LanguageModel, home: Home, device: torch.device) -> Captioner:
    """The captioner before its first step: fresh, or with the weights of `init`."""
    recipe, samples, dataset = material.recipe, material.samples, material.dataset
    settings = recipe.mapper
    mapper = build_mapper(
        settings.kind,
        embedding_size=encoder.embedding_size,
        lm_width=language_model.width,
        prefix_length=settings.prefix_length,
        clip_length=settings.clip_length,
        layers=settings.layers,
        heads=settings.heads,
    )
    if recipe.encoder.standardize:
        some = samples.embeddings[:: -(-len(samples.embeddings) // _FITTED_ON)]
        preparation = Preparation.fitted(torch.from_numpy(some), normalize=recipe.encoder.normalize)
    else:
        preparation = Preparation(recipe.encoder.normalize)
    if recipe.init is not None:
        start = load_bundle(find_captioner(recipe.init, home).path, home=home, device="cpu")
        _check_start(start, recipe.init, encoder, mapper.settings)
        _copy_weights(start.mapper, mapper, recipe.init, "mapper")
        if start.language_model.tuned:
            _copy_weights(start.language_model, language_model, recipe.init, "language model")
        preparation = start.preparation
    if recipe.language_model.tune == "lora":
        part = recipe.language_model
        add_adapters(language_model, rank=part.lora_rank, alpha=part.lora_alpha, dropout=part.lora_dropout)
    else:
        language_model.requires_grad_(recipe.language_model.tune == "full")
    return Captioner(
        encoder_spec=encoder.spec,
        encoder_fingerprint=encoder.fingerprint,
        preparation=preparation.to(device),
        mapper=mapper.to(device),
        language_model=language_model.to(device),
        decode=recipe.decode,
        info={"dataset": {"name": dataset.name, "version": dataset.version} if dataset else {"texts": recipe.dataset.texts}},
        home=home,
    )


def _check_start(start: Captioner, name: str, encoder: ImageEncoder, ours: Mapping[str, str | int]) -> None:
    """Refuse to start from a captioner of another encoder, or with another mapper than the recipe's."""
    if start.encoder_fingerprint != encoder.fingerprint:
        hint = f"Add encoder.name={start.encoder_spec}."
        raise InputError(f"{name!r} was made with the encoder {start.encoder_spec}, not {encoder.spec}", where="init", hint=hint)
    theirs = start.mapper.settings
    differing = [key for key in theirs if theirs[key] != ours.get(key)]
    if differing:
        raise InputError(
            f"the mapper of {name!r} is another than this recipe's: "
            + ", ".join(f"{key} {theirs[key]} there, {ours.get(key, 'none')} here" for key in differing),
            where="init",
            hint=f"Add {' '.join(f'mapper.{key}={theirs[key]}' for key in differing)}.",
        )


def _copy_weights(source: torch.nn.Module, target: torch.nn.Module, name: str, part: str) -> None:
    theirs, ours = source.state_dict(), target.state_dict()
    wrong = [key for key in sorted(theirs.keys() | ours.keys()) if key not in theirs or key not in ours or theirs[key].shape != ours[key].shape]
    if wrong:
        raise InputError(
            f"the {part} of {name!r} does not fit this recipe: tensors that differ: {len(wrong)}, the first is {wrong[0]!r}",
            where="init",
            hint=f"Give the recipe the settings of that model: `clipcap model show {name}`.",
        )
    target.load_state_dict(theirs)
