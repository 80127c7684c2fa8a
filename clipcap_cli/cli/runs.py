"""`clipcap runs …`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.curves import sparkline
from clipcap_cli.cli.eval import KEPT, Beam, Clip, Dataset, Decode, Device, Metrics, Split, decoding
from clipcap_cli.cli.options import Yes, command, home, settings
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress
from clipcap_cli.cli.verification import show_verification, verification_json
from clipcap_cli.errors import PartialError
from clipcap_cli.recipe.differences import values_told
from clipcap_cli.words import count, duration, moment

if TYPE_CHECKING:
    from clipcap_cli.training.runs import Run, RunInfo

app = typer.Typer(help="List trainings, and look at how they went.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run.", autocompletion=completion.runs)]
Compared = Annotated[str, typer.Argument(metavar="RUN|MODEL|FILE", help="A captioner, or a file of captions.", autocompletion=completion.captioners)]
_CURVE_WIDTH = 60  # characters


@command(
    app,
    "list",
    examples=("clipcap runs list", "clipcap runs list --json"),
    json="a list of what `runs show` prints, without path, bundle, validations and checkpoints, but with differs_in: {KEY: VALUE}.",
)
def list_runs() -> None:
    """List all runs, the newest first. Of trials of a sweep, and of runs of one name (food, food-2), it shows in what their recipes differ."""
    from clipcap_cli.training.runs import list_runs as stored
    from clipcap_cli.training.varying import what_varies

    runs = stored(home())
    infos, apart = [run.info for run in runs], what_varies(runs)
    out.result([{**asdict(info), "sweep": one.sweep, "differs_in": dict(one.values)} for info, one in zip(infos, apart, strict=True)])
    differ = any(one.values for one in apart)
    out.table(
        ("run", "status", "started", "time", "steps", "best", "dataset", "encoder", "language model", *(["differs in"] if differ else [])),
        [
            (
                info.name,
                info.status,
                moment(info.started),
                duration(info.minutes * 60),
                f"{info.steps:,} of {info.planned_steps:,}",
                _best(info),
                info.dataset,
                info.encoder,
                info.language_model,
                *([values_told(one.values) or None] if differ else []),
            )
            for info, one in zip(infos, apart, strict=True)
        ],
        right=("time", "best"),
    )
    if not infos:
        out.note("There are no runs yet.")
        out.hint("clipcap recipe list")


@command(
    app,
    "show",
    examples=("clipcap runs show food", "clipcap runs show food-2 --json"),
    json="{name, status, started, dataset, dataset_version, encoder, language_model, planned_steps, steps, minutes, best_step, best_loss, best_score, "
    "select_by, ended_because, sweep, path, bundle, validations: [{step, val_loss, score, select_by, best, seconds, samples: [{image, caption}]}], "
    "checkpoints: [{step, path, can_resume}]}.",
)
def show(name: Name) -> None:
    """Show how a run went: its losses and scores, the captions it wrote on the way, and where its bundle is."""
    from clipcap_cli.training.runs import list_checkpoints, open_run
    from clipcap_cli.training.sweeps import trials_by_run

    run = open_run(name, home=home())
    sweep, trial = trials_by_run(run.home).get(run.name, (None, None))
    info, validations, checkpoints = run.info, [line for line in run.metrics() if "val_loss" in line], list_checkpoints(run)
    bundle = str(run.best) if run.best.is_dir() else None
    kept = [{"step": it.step, "path": str(it.path), "can_resume": it.can_resume} for it in checkpoints]
    out.result({**asdict(info), "sweep": sweep, "path": str(run.path), "bundle": bundle, "validations": validations, "checkpoints": kept})
    reason = f" ({info.ended_because})" if info.ended_because else ""
    out.text(f"{info.name}: {info.status}{reason}")
    out.text(f"  started        {moment(info.started)}, {duration(info.minutes * 60)}")
    out.text(f"  steps          {info.steps:,} of {info.planned_steps:,}")
    out.text(f"  dataset        {info.dataset} v{info.dataset_version}")
    out.text(f"  encoder        {info.encoder}")
    out.text(f"  language model {info.language_model}")
    if trial:
        out.text(f"  sweep          {sweep} ({values_told(trial.values)})")
    out.text(f"  bundle         {bundle or 'none: it ended before there was one'}")
    out.text(f"  recipe         {run.path / 'recipe.yaml'}")
    if checkpoints:
        out.text(f"  checkpoints    {checkpoints[0].path.parent}: steps {', '.join(f'{it.step:,}' for it in checkpoints)}")
    _show_validations(validations)
    if info.status in ("stopped", "failed", "broken off"):
        out.hint(f"clipcap train {info.name} --resume")
    elif bundle:
        out.hint(f"clipcap caption PICTURE --model {info.name}")


@command(
    app,
    "verify",
    examples=("clipcap runs verify food", "clipcap runs verify food --json"),
    json="{run, can_be_made_again, differences: [{what, then, now, decides}], lost: [SENTENCE], "
    "made_again: {RUN: {exact, lines, first_other_step, loss_difference, tensors, other_tensors, weight_difference}}}.",
)
def verify(name: Name, device: Device = "auto") -> None:
    """Say what has changed since a run was made: data, weights, packages, machine; and how alike runs came out that were made again from it.

    Ends with 5 where something else would come out now, or a run that was made again did not come out the same. Nothing is trained or changed.
    """
    from clipcap_cli.training.runs import open_run
    from clipcap_cli.training.verifying import verify_run

    run = open_run(name, home=home())
    with progress() as events:
        found = verify_run(run, device=device, events=events)
    out.result(verification_json(run.name, found))
    show_verification(run.name, found)
    if not found.can_be_made_again or not all(alike.is_exact for alike in found.made_again.values()):
        raise typer.Exit(PartialError.exit_code)
    if not found.made_again:
        out.hint(f"clipcap train runs/{run.name}")


@command(app, "remove", examples=("clipcap runs remove food-2", "clipcap runs remove food-sweep --yes"), json="{removed: NAME, runs: [RUN]}.")
def remove_runs(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A run; or a sweep with all its runs.", autocompletion=completion.runs_and_sweeps)],
    yes: Yes = False,
) -> None:
    """Remove a run with its bundles, or a sweep with its runs. Models and datasets stay."""
    from clipcap_cli.training.runs import open_run, remove_run
    from clipcap_cli.training.sweeps import list_sweeps, open_sweep, remove_sweep

    if name in list_sweeps(home()) and not (home().runs / name).exists():
        sweep = open_sweep(name, home())
        runs = sweep.runs()
        what, told = f"sweep {name!r} with {count(len(runs), 'run')}: {', '.join(runs)}", f"The sweep {name} is removed, with {count(len(runs), 'run')}."
        remove = partial(remove_sweep, sweep)
    else:
        run = open_run(name, home=home())
        name, runs = run.name, [run.name]
        what, told = f"run {name!r} and its captioner at {run.path}", f"The run {name} is removed."
        remove = partial(remove_run, home(), name)
    if out.confirm(f"Remove the {what}?", yes=yes, otherwise="nothing was removed"):
        remove()
        out.result({"removed": name, "runs": runs})
        out.text(told)


@command(
    app,
    "compare",
    examples=("clipcap runs compare food food-2", "clipcap runs compare food captions.json --dataset food --split val --show 20"),
    json="{first, second, dataset, split, pictures, differences: [{metric, first, second, difference, low, high, p, real}], same_captions, "
    "recipes: {KEY: [first, second]}, is_luck, sorted_by, "
    "changes: [{image, first, second, difference}]}.",
)
def compare(
    first: Compared,
    second: Compared,
    dataset: Dataset = None,
    split: Split = None,
    metrics: Metrics = None,
    beam: Beam = None,
    decode: Decode = None,
    clip: Clip = None,
    show: Annotated[int, typer.Option("--show", metavar="N", min=0, help="Pictures to list, those that changed most.")] = 5,
    device: Device = "auto",
) -> None:
    """Say which differences between two captioners are real, and where they differ most. Both are scored on the same pictures."""
    from clipcap_cli.cli.scores import show_comparison
    from clipcap_cli.evaluation.versus import compare_captioners

    settings.kept = KEPT
    with progress() as events:
        comparison = compare_captioners(
            first, second, dataset, split=split, metrics=metrics or (), decode=decoding(decode, beam), clip=clip, home=home(), device=device, events=events
        )
    out.result(comparison.as_dict(show))
    show_comparison(comparison, show)
    for warning in dict.fromkeys([*comparison.first.warnings, *comparison.second.warnings]):
        out.warning(warning)


def show_run(run: Run) -> None:
    """What is said when a training has ended."""
    info = run.info
    out.result({**asdict(info), "path": str(run.path), "bundle": str(run.best)})
    best = "" if info.best_step is None else f", best {_best(info)} at step {info.best_step:,}"
    out.text(f"run {info.name}: {info.status}, {count(info.steps, 'step')} in {duration(info.minutes * 60)}{best}")
    out.text(f"bundle: {run.best}")


def _best(info: RunInfo) -> str | None:
    """`cider 0.812`, `loss 2.250`; None where there is none."""
    value = _number(info.best_loss if info.best_score is None else info.best_score)
    return value and f"{info.select_by} {value}"


def _show_validations(validations: list[dict[str, Any]]) -> None:
    if not validations:
        return
    losses = [float(line["val_loss"]) for line in validations]
    scores = [float(line["score"]) for line in validations if line.get("score") is not None]
    select_by = validations[-1].get("select_by", "loss")
    out.text()
    _show_curve("loss", losses, min)
    _show_curve(select_by, scores, max)
    headings = ("step", "loss", *([select_by] if scores else []), "", "first sample")
    out.table(
        headings,
        [
            (
                f"{line['step']:,}",
                f"{line['val_loss']:.3f}",
                *([_number(line.get("score"))] if scores else []),
                "best" if line["best"] else "",
                _first_sample(line),
            )
            for line in validations
        ],
        right=headings[:-2],
    )
    best = next((line for line in reversed(validations) if line["best"]), validations[-1])
    out.text()
    for sample in best.get("samples", []):
        out.text(f"  {sample['image']}: {sample['caption']}")


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _first_sample(line: dict[str, Any]) -> str:
    samples = line.get("samples") or [{"caption": ""}]
    return str(samples[0]["caption"])


def _show_curve(name: str, values: list[float], best: Callable[[list[float]], float]) -> None:
    if len(values) > 1:
        out.text(f"  {name:<14} {sparkline(values, _CURVE_WIDTH)}  from {values[0]:.3f} to {values[-1]:.3f}, best {best(values):.3f}")
