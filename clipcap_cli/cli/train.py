"""`clipcap train`."""

from __future__ import annotations

from typing import Annotated

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.failures import INTERRUPTED
from clipcap_cli.cli.options import command, home, settings
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(
    app,
    "train",
    examples=("clipcap train quickstart --dataset food train.epochs=3", "clipcap train food --resume"),
    json="what `runs show` prints, without validations.",
)
def train(
    recipe: Annotated[
        str,
        typer.Argument(metavar="RECIPE|RUN", help="A file, the name of a shipped recipe, or a run, which is made again.", autocompletion=completion.recipes),
    ],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY.SUB=VALUE", help="Values that win over the file, as train.epochs=3.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", metavar="NAME", help="The same as dataset.name=NAME.", autocompletion=completion.datasets)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run, or with the newest one of the recipe.")] = False,
    from_step: Annotated[
        int | None, typer.Option("--from-step", metavar="N", min=1, help="With --resume: go on from this checkpoint, instead of the newest.")
    ] = None,
    stop_after: Annotated[
        int | None, typer.Option("--stop-after", metavar="N", min=1, help="Stop after N steps with a checkpoint, to be gone on with by --resume.")
    ] = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    devices: Annotated[
        str | None,
        typer.Option("--devices", metavar="N|auto", help="Train in N processes, one a GPU (on a CPU, one a core or more); auto: as many as there are GPUs."),
    ] = None,
) -> None:
    """Train a captioner from a recipe. Pictures without embeddings are embedded first. Ctrl-C ends it after the step in hand; --resume goes on from there.

    Under torchrun or accelerate launch, all processes train together.
    """
    from clipcap_cli.recipe import load_recipe
    from clipcap_cli.training.launching import launch, processes_for, speaks, started_together
    from clipcap_cli.training.runs import find_run

    if from_step is not None and not resume:
        raise typer.BadParameter("it needs --resume", param_hint="--from-step")
    asked = [*(overrides or ()), *([f"dataset.name={dataset}"] if dataset is not None else [])]
    named = find_run(recipe, home(), first=resume and not asked)
    if named is None:
        load_recipe(recipe, asked)  # before torch is loaded: a mistake is told at once
    if devices is not None and started_together() == 1:
        processes = processes_for(devices, device)
        if processes > 1:
            raise typer.Exit(launch(settings.arguments, processes))

    from clipcap_cli.cli.runs import show_run
    from clipcap_cli.face import train as train_run

    settings.kept = "Embeddings and checkpoints that were made are kept; type the same line with --resume to go on."
    with progress() as events:
        run = train_run(recipe, asked, resume=resume, from_step=from_step, stop_after=stop_after, home=home(), device=device, events=events)
    if not speaks():
        return
    show_run(run)
    if run.info.status != "stopped":
        out.hint(f"clipcap caption PICTURE --model {run.name}")
        return
    out.hint(f"clipcap train {run.name} --resume")
    if run.info.ended_because == "interrupted":
        raise typer.Exit(INTERRUPTED)
