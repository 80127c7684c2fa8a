"""Whether captioners and what they wrote are whole: models, runs with their checkpoints, evaluations."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clipcap_cli.captioner.manifest import NAME as BUNDLE
from clipcap_cli.captioner.manifest import is_bundle, read_manifest
from clipcap_cli.errors import ClipcapError
from clipcap_cli.evaluation.kept import FACTS, FILES, PREDICTIONS
from clipcap_cli.storage.atomic import remove_folder
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.reading import read_json
from clipcap_cli.training.runs import Run, RunInfo, list_runs, run_lock
from clipcap_cli.upkeep.bundles import differences
from clipcap_cli.upkeep.findings import Finding, Looked, Read, size_of

CHECKPOINTS = "checkpoints"
_RESUME, _STATE = "resume", "state.json"  # in a checkpoint: what a training needs to go on
_DROP = "clipcap cache prune damaged"


def folders_in(room: Path) -> list[Path]:
    """The folders in a folder, by name, without those that are being written."""
    try:
        return sorted(path for path in room.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


def look_at_models(home: Home, looked: Looked, read: Read) -> None:
    """Every model."""
    for folder in folders_in(home.models):
        looked.things += 1
        _look_at_bundle(folder, "models", folder.name, _bringing_again(folder), looked, read)


def look_at_runs(home: Home, looked: Looked, read: Read) -> None:
    """Every run: its record, recipe and figures, its bundles and checkpoints."""
    for run in list_runs(home):
        looked.things += 1
        again = f"clipcap train runs/{run.name} (makes it again, under another name), then clipcap runs remove {run.name}"
        info = _look_at_record(run, looked)
        for folder in (run.best, run.path / "last"):
            if folder.is_dir():
                _look_at_bundle(folder, "runs", run.name, again, looked, read)
        for folder in folders_in(run.path / CHECKPOINTS):
            found = differences(folder, BUNDLE, read)
            if (folder / _RESUME).is_dir():
                found += differences(folder / _RESUME, _STATE, read)
            for where, what in found:
                remedy = f"{_DROP}; the run goes on from the checkpoint before"
                looked.add(Finding("runs", run.name, where, what, remedy, partial(_remove_checkpoint, run, folder), size_of(folder)))
        for where, what in _wrong_lines(run, info):
            looked.add(Finding("runs", run.name, where, what, again))


def look_at_evaluations(home: Home, looked: Looked, read: Read) -> None:
    """The captions of every evaluation."""
    for folder in folders_in(home.evaluations):
        looked.things += 1
        found = differences(folder, FILES, read) if (folder / FILES).exists() else _unreadable(folder, (PREDICTIONS, FACTS))
        for where, what in found:
            remedy = f"{_DROP}; `clipcap eval` writes them anew"
            looked.add(Finding("evaluations", folder.name, where, what, remedy, partial(_remove_evaluation, folder), size_of(folder)))


def _look_at_bundle(folder: Path, kind: str, name: str, remedy: str, looked: Looked, read: Read) -> None:
    for where, what in differences(folder, BUNDLE, read):
        looked.add(Finding(kind, name, where, what, remedy))
    try:
        read_manifest(folder)
    except ClipcapError as error:
        if is_bundle(folder):  # else it is told above, or was removed meanwhile
            looked.add(Finding(kind, name, folder / BUNDLE, error.message, remedy))


def _bringing_again(folder: Path) -> str:
    """How a model is brought once more."""
    try:
        imported = read_manifest(folder).info.get("imported")
    except ClipcapError:
        imported = None
    if isinstance(imported, dict) and imported.get("published_as"):
        return f"clipcap model pull {imported['published_as']} --replace"
    if isinstance(imported, dict) and imported.get("file"):
        return f"clipcap model import {shlex.quote(str(imported['file']))} --name {folder.name} --replace"
    return f"Bring the bundle again as it was made, or `clipcap model remove {folder.name}`"


def _look_at_record(run: Run, looked: Looked) -> RunInfo | None:
    """run.json and recipe.yaml."""
    info = None
    try:
        info = run.info
    except ClipcapError as error:
        if run.path.is_dir():
            looked.add(Finding("runs", run.name, run.path / "run.json", error.message, f"clipcap runs remove {run.name}"))
    try:
        _ = run.recipe
    except ClipcapError as error:
        if run.path.is_dir():
            looked.add(Finding("runs", run.name, run.path / "recipe.yaml", error.message, "Restore it; the captioner itself does not need it"))
    return info


def _wrong_lines(run: Run, info: RunInfo | None) -> Iterator[tuple[Path, str]]:
    """Lines of metrics.jsonl that cannot be read; of a run that did not end by itself the last may be cut."""
    path = run.path / "metrics.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        yield path, f"the file cannot be read ({error})"
        return
    for number, line in enumerate(lines, 1):
        if not _is_object(line) and (number < len(lines) or (info is not None and info.status == "finished")):
            yield path, f"line {number} is no JSON object"
    lock = run.path / "lock.json"
    if lock.exists():
        yield from ((lock, what) for what in _parsed(lock))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _unreadable(folder: Path, names: tuple[str, ...]) -> list[tuple[Path, str]]:
    return [(folder / name, what) for name in names for what in _parsed(folder / name)] if folder.is_dir() else []


def _parsed(path: Path) -> list[str]:
    """What is wrong with a JSON file, if something is."""
    try:
        read_json(path)
    except (OSError, ValueError) as error:
        return [f"the file cannot be read ({error})"]
    return []


def _remove_checkpoint(run: Run, folder: Path) -> None:
    with run_lock(run):
        if folder.is_dir():
            remove_folder(folder)


def _remove_evaluation(folder: Path) -> None:
    if folder.is_dir():
        remove_folder(folder)
