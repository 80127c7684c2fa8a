"""What Tab offers for names: the folders of the store, read and nothing more."""

from __future__ import annotations

from pathlib import Path

import typer


def _folders(ctx: typer.Context, room: str, incomplete: str) -> list[str]:
    from clipcap_cli.errors import ClipcapError
    from clipcap_cli.storage.home import open_home

    asked = ctx.params.get("home") or ctx.find_root().params.get("home")
    try:
        folder: Path = getattr(open_home(asked), room)
        return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name.startswith(incomplete) and not path.name.startswith("."))
    except (OSError, ClipcapError):
        return []


def datasets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of datasets."""
    return _folders(ctx, "datasets", incomplete)


def runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs."""
    return _folders(ctx, "runs", incomplete)


def runs_and_sweeps(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs, then of sweeps."""
    return _folders(ctx, "runs", incomplete) + _folders(ctx, "sweeps", incomplete)


def captioners(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of models, then of runs."""
    return _folders(ctx, "models", incomplete) + _folders(ctx, "runs", incomplete)


def shipped_recipes(incomplete: str) -> list[str]:
    """Names of the recipes that come with clipcap."""
    from clipcap_cli.recipe.reading import SHIPPED

    return sorted(path.stem for path in SHIPPED.glob(f"{incomplete}*.yaml"))


def recipes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Shipped recipes, then recipe files that begin so."""
    typed = Path(incomplete)
    folder = typed if incomplete.endswith("/") else typed.parent
    files = [str(path) for path in sorted(folder.glob("*.yaml")) if str(path).startswith(incomplete)] if folder.is_dir() else []
    return shipped_recipes(incomplete) + files


def sweeps(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of sweeps, then what `recipes` offers."""
    return _folders(ctx, "sweeps", incomplete) + recipes(ctx, incomplete)


def published(incomplete: str) -> list[str]:
    """Names of the published checkpoints."""
    from clipcap_cli.captioner.published import PUBLISHED

    return sorted(name for name in PUBLISHED if name.startswith(incomplete))
