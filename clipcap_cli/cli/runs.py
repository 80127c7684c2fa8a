"""`clipcap runs …`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.options import Yes, command, home
from clipcap_cli.cli.out import out
from clipcap_cli.cli.words import count, duration, moment

if TYPE_CHECKING:
    from clipcap_cli.training.runs import Run

app = typer.Typer(help="List trainings, and look at how they went.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="RUN", help="Name of a run.", autocompletion=completion.runs)]
_BARS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 60  # characters


@command(app, "list", examples=("clipcap runs list", "clipcap runs list --json"), json="a list of what `runs show` prints, without validations.")
def list_runs() -> None:
    """List all runs, the newest first."""
    from clipcap_cli.training.runs import list_runs as stored

    infos = [run.info for run in stored(home())]
    out.result([asdict(info) for info in infos])
    out.table(
        ("run", "status", "started", "time", "steps", "best loss", "dataset", "encoder", "language model"),
        [
            (
                info.name,
                info.status,
                moment(info.started),
                duration(info.minutes * 60),
                f"{info.steps:,} of {info.planned_steps:,}",
                None if info.best_loss is None else f"{info.best_loss:.3f}",
                info.dataset,
                info.encoder,
                info.language_model,
            )
            for info in infos
        ],
        right=("time", "best loss"),
    )
    if not infos:
        out.note("There are no runs yet.")
        out.hint("clipcap recipe list")


@command(
    app,
    "show",
    examples=("clipcap runs show food", "clipcap runs show food-2 --json"),
    json="{name, status, started, dataset, dataset_version, encoder, language_model, planned_steps, steps, minutes, best_step, best_loss, ended_because, "
    "path, bundle, validations: [{step, val_loss, best, samples: [{image, caption}]}]}.",
)
def show(name: Name) -> None:
    """Show how a run went: its losses, the captions it wrote on the way, and where its bundle is."""
    from clipcap_cli.training.runs import open_run

    run = open_run(name, home=home())
    info, validations = run.info, [line for line in run.metrics() if "val_loss" in line]
    bundle = str(run.best) if run.best.is_dir() else None
    out.result({**asdict(info), "path": str(run.path), "bundle": bundle, "validations": validations})
    reason = f" ({info.ended_because})" if info.ended_because else ""
    out.text(f"{info.name}: {info.status}{reason}")
    out.text(f"  started        {moment(info.started)}, {duration(info.minutes * 60)}")
    out.text(f"  steps          {info.steps:,} of {info.planned_steps:,}")
    out.text(f"  dataset        {info.dataset} v{info.dataset_version}")
    out.text(f"  encoder        {info.encoder}")
    out.text(f"  language model {info.language_model}")
    out.text(f"  bundle         {bundle or 'none: it ended before there was one'}")
    out.text(f"  recipe         {run.path / 'recipe.yaml'}")
    _show_validations(validations)
    if bundle:
        out.hint(f"clipcap caption PICTURE --model {info.name}")


@command(app, "remove", examples=("clipcap runs remove food-2", "clipcap runs remove food-2 --yes"), json="{removed}.")
def remove(name: Name, yes: Yes = False) -> None:
    """Remove a run with its bundles. Models and datasets stay."""
    from clipcap_cli.training.runs import open_run, remove_run

    run = open_run(name, home=home())
    if out.confirm(f"Remove the run {name!r} and its captioner at {run.path}?", yes=yes, otherwise="nothing was removed"):
        remove_run(home(), name)
        out.result({"removed": name})
        out.text(f"The run {name} is removed.")


def show_run(run: Run) -> None:
    """What is said when a training has ended."""
    info = run.info
    out.result({**asdict(info), "path": str(run.path), "bundle": str(run.best)})
    loss = "" if info.best_loss is None else f", best loss {info.best_loss:.3f} at step {info.best_step:,}"
    out.text(f"run {info.name}: {info.status}, {count(info.steps, 'step')} in {duration(info.minutes * 60)}{loss}")
    out.text(f"bundle: {run.best}")


def _show_validations(validations: list[dict[str, Any]]) -> None:
    if not validations:
        return
    losses = [float(line["val_loss"]) for line in validations]
    out.text()
    if len(losses) > 1:
        out.text(f"  loss           {_curve(losses)}  from {losses[0]:.3f} to {losses[-1]:.3f}, best {min(losses):.3f}")
    out.table(
        ("step", "loss", "", "first sample"),
        [(f"{line['step']:,}", f"{line['val_loss']:.3f}", "best" if line["best"] else "", _first_sample(line)) for line in validations],
        right=("step", "loss"),
    )
    best = next((line for line in reversed(validations) if line["best"]), validations[-1])
    out.text()
    for sample in best.get("samples", []):
        out.text(f"  {sample['image']}: {sample['caption']}")


def _first_sample(line: dict[str, Any]) -> str:
    samples = line.get("samples") or [{"caption": ""}]
    return str(samples[0]["caption"])


def _curve(values: list[float]) -> str:
    """`█▅▃▂▁`: at most `_CURVE_WIDTH` of the values, the highest as a full block."""
    step = max(1, -(-len(values) // _CURVE_WIDTH))
    shown = values[::step]
    low, high = min(shown), max(shown)
    return "".join(_BARS[round((value - low) / ((high - low) or 1.0) * (len(_BARS) - 1))] for value in shown)
