"""The trackers that clipcap knows: each hands figures to a package, which is imported when a recipe names it and never before.

All of them stay on this machine: Weights & Biases runs offline unless WANDB_MODE says otherwise, Trackio keeps to its own folder unless its own variables name
a server.
"""

from __future__ import annotations

import importlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from clipcap_cli.errors import MissingError

_PROJECT = "clipcap"  # under which trackers that keep many runs together list ours


class TensorBoard:
    """Writes event files into the run's folder: `tensorboard --logdir RUN/tensorboard`."""

    def __init__(self) -> None:
        _imported("tensorboard")
        self._library = _imported("torch.utils.tensorboard", extra="tensorboard")

    def start(self, run: str, folder: Path, recipe: Mapping[str, Any], step: int) -> None:
        """Open the file, and write the recipe into it as a text."""
        self._writer = self._library.SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)
        self._writer.add_text("recipe", f"```\n{json.dumps(recipe, indent=2, ensure_ascii=False)}\n```")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def finish(self) -> None:
        """Close the file."""
        self._writer.close()


class Wandb:
    """Writes a run of Weights & Biases into the run's folder; `wandb sync RUN/wandb/offline-run-…` brings it to the service."""

    def __init__(self) -> None:
        # Else it tells its makers at once that it was imported, offline or not.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self._library = _imported("wandb")

    def start(self, run: str, folder: Path, recipe: Mapping[str, Any], step: int) -> None:
        """Begin a run, offline unless the user's WANDB_MODE says otherwise; one that goes on is a second run of the same name there."""
        library = self._library
        settings = library.Settings(console="off", silent=True)  # what is printed here would stand in the way of results and bars
        mode = os.environ.get("WANDB_MODE", "offline")
        project = os.environ.get("WANDB_PROJECT", _PROJECT)
        self._run = library.init(project=project, name=run, dir=str(folder), config=dict(recipe), mode=mode, settings=settings)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve."""
        self._run.log(dict(values), step=step)

    def finish(self) -> None:
        """Close the run."""
        self._run.finish()


class Trackio:
    """Writes into Trackio's own folder (TRACKIO_DIR), where `trackio show --project clipcap` shows all runs beside each other."""

    def __init__(self) -> None:
        with _nothing_printed():
            self._library = _imported("trackio")

    def start(self, run: str, folder: Path, recipe: Mapping[str, Any], step: int) -> None:
        """Begin a run."""
        with _nothing_printed():
            self._library.init(project=_PROJECT, name=run, config=dict(recipe), embed=False)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve."""
        self._library.log(dict(values), step=step)

    def finish(self) -> None:
        """Wait until everything is written."""
        with _nothing_printed():
            self._library.finish()


def _imported(module: str, extra: str | None = None) -> Any:
    extra = extra or module
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingError(
            f"the tracker {extra} needs the package {extra}, which cannot be imported ({error})",
            where="train.trackers",
            hint=f'pip install "clipcap-cli[{extra}]"',
        ) from error


@contextmanager
def _nothing_printed() -> Iterator[None]:
    """stdout is for results."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield
