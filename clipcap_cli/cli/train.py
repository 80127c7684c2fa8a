"""`clipcap train`."""

from __future__ import annotations

from pathlib import Path
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
    examples=("clipcap train recipes/food.yaml", "clipcap train quickstart --dataset food train.epochs=3"),
    json="what `runs show` prints, without validations.",
)
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A file, the name of a shipped recipe, or of a run.", autocompletion=completion.recipes)],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY.SUB=VALUE", help="Values that win over the file, as train.epochs=3.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", metavar="NAME", help="The same as dataset.name=NAME.", autocompletion=completion.datasets)] = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    """Train a captioner from a recipe. Pictures without embeddings are embedded first. Ctrl-C ends it after the step in hand and keeps the best so far."""
    from clipcap_cli.recipe import load_recipe

    asked = [*(overrides or ()), *([f"dataset.name={dataset}"] if dataset else [])]
    checked = load_recipe(_file_of(recipe), asked)  # before torch is loaded: a mistake is told at once

    from clipcap_cli.cli.runs import show_run
    from clipcap_cli.face import train as train_run

    settings.kept = "Embeddings that were made are kept; type the same line to begin again."
    with progress() as events:
        run = train_run(checked, home=home(), device=device, events=events)
    show_run(run)
    if run.info.status == "stopped":
        out.warning(
            "this training was interrupted. What it had reached is kept and can write captions, but it cannot be gone on with: "
            f"type the same line to begin again, or add init={run.name} to start from its weights."
        )
    out.hint(f"clipcap caption PICTURE --model {run.name}")
    if run.info.status == "stopped":
        raise typer.Exit(INTERRUPTED)


def _file_of(name: str) -> Path:
    """The recipe file, or else that of the run of this name."""
    from clipcap_cli.errors import InputError
    from clipcap_cli.recipe import find_recipe

    try:
        return find_recipe(name)
    except InputError:
        stored = home().runs / name / "recipe.yaml"
        if stored.is_file():
            return stored
        raise
