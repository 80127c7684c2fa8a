"""`clipcap recipe …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.options import command, home
from clipcap_cli.cli.out import out

app = typer.Typer(help="List, show, copy and check recipes.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="RECIPE", help="A file, or the name of a shipped recipe.", autocompletion=completion.recipes)]


@command(app, "list", examples=("clipcap recipe list", "clipcap recipe list --json"), json="a list of {name, about, path}.")
def list_recipes() -> None:
    """List the recipes that come with clipcap."""
    from clipcap_cli.recipe import shipped_recipes

    found = [{"name": name, "about": _about(path), "path": str(path)} for name, path in shipped_recipes().items()]
    out.result(found)
    out.table(("recipe", "what it makes"), [(recipe["name"], recipe["about"]) for recipe in found])
    out.hint("clipcap recipe show RECIPE")


@command(app, "show", examples=("clipcap recipe show quickstart", "clipcap recipe show food --full"), json="the recipe, every key written out.")
def show(
    name: Name,
    full: Annotated[bool, typer.Option("--full", help="Write every key out, with its default where the recipe says nothing.")] = False,
) -> None:
    """Print a recipe."""
    from clipcap_cli.recipe import dump_recipe, find_recipe, load_recipe

    recipe = load_recipe(name)
    out.result(recipe.model_dump(mode="json"))
    out.text((dump_recipe(recipe) if full else find_recipe(name).read_text(encoding="utf-8")).rstrip("\n"))


@command(app, "copy", examples=("clipcap recipe copy quickstart mine.yaml", "clipcap recipe copy food recipes/pastries.yaml"), json="{path}.")
def copy(
    name: Name,
    target: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; a file that exists is left alone.")],
) -> None:
    """Copy a recipe, to change it."""
    from clipcap_cli.errors import InputError
    from clipcap_cli.recipe import find_recipe
    from clipcap_cli.storage.atomic import write_bytes

    source = find_recipe(name)
    if target.is_dir():
        target = target / source.name
    if target.exists():
        raise InputError(f"{target} exists and was left as it is", hint="Choose another name, or remove it first.")
    write_bytes(target, source.read_bytes())
    out.result({"path": str(target)})
    out.text(f"{target} is a copy of {name}.")
    out.hint(f"clipcap train {target} dataset.name=NAME")


@command(
    app,
    "check",
    examples=("clipcap recipe check recipes/food.yaml", "clipcap recipe check quickstart train.epochs=3"),
    json="a list of {level, subject, message, hint}; level is good, warn or fail.",
)
def check(
    name: Name,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="KEY.SUB=VALUE", help="Values that win over the file, as for `clipcap train`.")] = None,
) -> None:
    """Check a recipe, and whether what it names is here. Nothing is downloaded."""
    from clipcap_cli.cli.findings import check_recipe, show_findings
    from clipcap_cli.recipe import load_recipe

    show_findings(check_recipe(load_recipe(name, overrides or ()), home()))


def _about(path: Path) -> str:
    """The first sentence of a recipe's head."""
    first = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").strip()
    return first.partition(". ")[0].rstrip(".") + "."
