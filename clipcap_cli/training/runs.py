"""Runs on disk: one folder each under CLIPCAP_HOME/runs.

run.json       how it stands: status, steps, the best validation, what it was trained with
recipe.yaml    the whole recipe, defaults written out
lock.json      what it was made of and on: data, weights, packages, machine (see `lock`)
metrics.jsonl  one line every few steps, one for each validation
checkpoints/   what it can be gone on with (see `checkpoints`)
best/ last/    bundles: of the best validation, of the last step
"""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from clipcap_cli.captioner.manifest import is_bundle
from clipcap_cli.errors import InputError, StoreError
from clipcap_cli.recipe import Recipe, find_recipe, load_recipe, shipped_recipes
from clipcap_cli.recipe.reading import means_file
from clipcap_cli.storage.atomic import remove_folder, store_errors, write_json
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.storage.locks import hold, is_held
from clipcap_cli.storage.names import is_name, named_within, unknown
from clipcap_cli.storage.reading import parse_json, read_json

RUN_FILE = "run.json"
_LISTING = "clipcap runs list"
CHECKPOINTS, RESUME, STATE = "checkpoints", "resume", "state.json"
_STEP = re.compile(r"step-(\d{8,})")
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
        info = self.info_of_holder
        if info.status != "running":
            return info
        return replace(info, status="running" if is_held(self.home, _lock_of(self.name)) else "broken off", steps=self._last_step())

    @property
    def info_of_holder(self) -> RunInfo:
        """How it stands for whoever holds its lock: what is written is all there is to know.

        Raises:
            StoreError: run.json is damaged.
        """
        path = self.path / RUN_FILE
        try:
            return TypeAdapter(RunInfo).validate_python(read_json(path))
        except (OSError, ValueError) as error:
            reason = _first_mistake(error) if isinstance(error, ValidationError) else error
            raise StoreError(
                f"the run's record cannot be read ({reason})", where=str(path), hint=f"Remove it with `clipcap runs remove {self.name}`."
            ) from error

    @property
    def recipe(self) -> Recipe:
        """The recipe it was made with."""
        return load_recipe(self.path / "recipe.yaml")

    def metrics(self) -> Iterator[dict[str, Any]]:
        """The lines of metrics.jsonl up to the first that is no JSON object: the last one may have been cut by a crash."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return
        with path.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                try:
                    values = parse_json(line)
                except ValueError:
                    return
                if not isinstance(values, dict):
                    return
                yield values

    def _last_step(self) -> int:
        """The last step that is known of: run.json has it only when the run has ended."""
        lines = (line.get("step") for line in self.metrics())
        return max([*(checkpoint.step for checkpoint in list_checkpoints(self)), *(step for step in lines if isinstance(step, int))], default=0)

    def metrics_bytes(self) -> int:
        """How long metrics.jsonl is, when all of it has reached the disk."""
        path = self.path / "metrics.jsonl"
        if not path.exists():
            return 0
        with store_errors(path), path.open("rb") as stream:
            os.fsync(stream.fileno())
            return stream.seek(0, os.SEEK_END)

    def cut_metrics(self, size: int) -> None:
        """Take off what was written behind the first `size` bytes of metrics.jsonl: it will be written again."""
        path = self.path / "metrics.jsonl"
        if size or path.exists():
            with store_errors(path):
                os.truncate(path, size)

    def write_info(self, info: RunInfo) -> None:
        """Replace run.json."""
        write_json(self.path / RUN_FILE, asdict(info))

    def log(self, values: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        with store_errors(path), path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(values, ensure_ascii=False) + "\n")


def _first_mistake(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first["loc"] else first["msg"]


@dataclass(frozen=True)
class Checkpoint:
    """One on disk: a bundle, and beside it what a training needs to go on, unless the run has finished."""

    step: int
    path: Path

    @property
    def can_resume(self) -> bool:
        """Whether a training can go on from it."""
        return (self.path / RESUME / STATE).is_file()


def list_checkpoints(run: Run) -> list[Checkpoint]:
    """The checkpoints of a run, the oldest first."""
    folder = run.path / CHECKPOINTS
    if not folder.is_dir():
        return []
    named = ((path, _STEP.fullmatch(path.name)) for path in folder.iterdir() if is_bundle(path))
    return sorted((Checkpoint(int(match[1]), path) for path, match in named if match), key=lambda checkpoint: checkpoint.step)


def _lock_of(name: str) -> str:
    return f"run-{name}"


def run_lock(run: Run, *, wait_s: float = 0.0) -> Any:
    """The lock that a run's process holds while it trains; `wait_s` as in `hold`."""
    return hold(run.home, _lock_of(run.name), wait_s=wait_s)


def list_runs(home: Home) -> list[Run]:
    """All runs, the newest first."""
    if not home.runs.is_dir():
        return []
    found = [Run(home, path.parent.name) for path in home.runs.glob(f"[!.]*/{RUN_FILE}")]  # not those that are being made, or removed
    return sorted(found, key=_made_at, reverse=True)


def _made_at(run: Run) -> float:
    try:
        return (run.path / "recipe.yaml").stat().st_mtime
    except OSError:  # it is being removed
        return 0.0


def open_run(name: str, *, home: Home | None = None) -> Run:
    """A run by its name, by `runs/NAME`, or by its folder.

    Raises:
        InputError: there is none of that name.
    """
    home = home or open_home()
    run = Run(home, named_within(home.runs, name) or name)
    if not _is_there(run):
        raise unknown("run", run.name, [other.name for other in list_runs(home)], listing=_LISTING)
    return run


def _is_there(run: Run) -> bool:
    return is_name(run.name) and (run.path / RUN_FILE).is_file()


@contextmanager
def new_run(home: Home, name: str) -> Iterator[Run]:
    """Yield a run of a name that nobody has, `name` or `name-2`, `name-3`, …; it is locked while the block runs, and its folder is not there yet.

    Raises:
        StoreError: the store cannot be written.
    """
    for number in itertools.count(1):
        run = Run(home, name if number == 1 else f"{name}-{number}")
        if run.path.exists() or is_held(home, _lock_of(run.name)):
            continue
        with ExitStack() as stack:
            try:
                stack.enter_context(run_lock(run))
            except StoreError:
                if is_held(home, _lock_of(run.name)):
                    continue  # another process was quicker
                raise
            if not run.path.exists():
                yield run
                return


def find_run(name: str, home: Home, *, first: bool = False) -> Run | None:
    """The run that is meant by `runs/NAME`, by its folder, or by its bare name; None where only a recipe can be meant.

    Args:
        first: a bare name means a run before it means a recipe; otherwise a recipe of that name is meant.

    Raises:
        InputError: a run is meant, and there is none.
    """
    inside = named_within(home.runs, name)
    run = Run(home, inside or name)
    if (inside or first or not is_recipe(name)) and _is_there(run):
        return run
    if (inside or (first and not means_file(name))) and not is_recipe(name):
        kind, others = ("run", ()) if inside else ("run or recipe", shipped_recipes())
        raise unknown(kind, run.name, [*(other.name for other in list_runs(home)), *others], listing=_LISTING)
    return None


def is_recipe(name: str) -> bool:
    """Whether a recipe is meant: a file, or the name of a shipped one."""
    try:
        return bool(find_recipe(name))
    except InputError:
        return False


def remove_run(home: Home, name: str) -> None:
    """Remove a run with its checkpoints.

    Raises:
        InputError: there is none of that name.
        StoreError: it is training now.
    """
    run = open_run(name, home=home)
    with run_lock(run):
        remove_folder(run.path)
