"""Runs on disk: one folder each under CLIPCAP_HOME/runs.

run.json       how it stands: status, steps, the best validation, what it was trained with
recipe.yaml    the whole recipe, defaults written out
metrics.jsonl  one line every few steps, one for each validation
best/ last/    bundles
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from clipcap_cli.errors import StoreError
from clipcap_cli.recipe import Recipe, load_recipe
from clipcap_cli.storage.atomic import remove_folder, store_errors, write_json
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.storage.locks import hold, is_held
from clipcap_cli.storage.names import unknown

Status = Literal["running", "finished", "stopped", "failed", "broken off"]


@dataclass(frozen=True)
class RunInfo:
    """How a run stands.

    `status`: "stopped" is by the user, "failed" by an error, "broken off" is a run whose process is gone without a word.
    `select_by` is what the best is chosen by: a metric's name, or "loss". `best_loss` and `best_score` are those of the validation that was chosen; the
    loss is that of training where nothing was validated, the score None where the loss decides.
    """

    name: str
    status: Status
    started: str
    dataset: str
    dataset_version: int
    encoder: str
    language_model: str
    planned_steps: int
    steps: int = 0
    minutes: float = 0.0
    best_step: int | None = None
    best_loss: float | None = None
    best_score: float | None = None
    select_by: str = "loss"
    ended_because: str = ""


@dataclass(frozen=True)
class Run:
    """A run in the store."""

    home: Home
    name: str

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.home.runs / self.name

    @property
    def best(self) -> Path:
        """The bundle of the best validation."""
        return self.path / "best"

    @property
    def info(self) -> RunInfo:
        """How it stands now.

        Raises:
            StoreError: run.json is damaged.
        """
        path = self.path / "run.json"
        try:
            info = RunInfo(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(
                f"the run's record cannot be read ({error})", where=str(path), hint=f"Remove it with `clipcap runs remove {self.name}`."
            ) from error
        if info.status == "running" and not is_held(self.home, _lock_of(self.name)):
            return replace(info, status="broken off")
        return info

    @property
    def recipe(self) -> Recipe:
        """The recipe it was made with."""
        return load_recipe(self.path / "recipe.yaml")

    def metrics(self) -> Iterator[dict[str, Any]]:
        """The lines of metrics.jsonl; a last line that was cut by a crash is left out."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                try:
                    yield json.loads(line)
                except ValueError:
                    return

    def write_info(self, info: RunInfo) -> None:
        """Replace run.json."""
        write_json(self.path / "run.json", asdict(info))

    def log(self, values: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        with store_errors(path), path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(values, ensure_ascii=False) + "\n")


def _lock_of(name: str) -> str:
    return f"run-{name}"


def run_lock(run: Run) -> Any:
    """The lock that a run's process holds while it trains."""
    return hold(run.home, _lock_of(run.name))


def list_runs(home: Home) -> list[Run]:
    """All runs, the newest first."""
    if not home.runs.is_dir():
        return []
    found = [Run(home, path.parent.name) for path in home.runs.glob("*/run.json")]
    return sorted(found, key=lambda run: (run.path / "recipe.yaml").stat().st_mtime, reverse=True)


def open_run(name: str, *, home: Home | None = None) -> Run:
    """A run by name.

    Raises:
        InputError: there is none of that name.
    """
    home = home or open_home()
    run = Run(home, name)
    if not (run.path / "run.json").is_file():
        raise unknown("run", name, [other.name for other in list_runs(home)], listing="clipcap runs list")
    return run


def remove_run(home: Home, name: str) -> None:
    """Remove a run with its checkpoints.

    Raises:
        InputError: there is none of that name.
        StoreError: it is training now.
    """
    run = open_run(name, home=home)
    with run_lock(run):
        remove_folder(run.path)
