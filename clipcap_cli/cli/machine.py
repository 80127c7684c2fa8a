"""What this machine has: the findings of `clipcap doctor`."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from clipcap_cli._version import __version__
from clipcap_cli.cli.findings import Finding, found, language_model_at_hand
from clipcap_cli.errors import ClipcapError, MissingError
from clipcap_cli.words import count, size

if TYPE_CHECKING:
    from clipcap_cli.storage.home import Home

_USUAL_ENCODER = "openai:ViT-B/32"
_LITTLE_SPACE = 5e9  # bytes: less than CLIP, GPT-2 and a run or two take
_LITTLE_MEMORY = 4e9  # bytes: GPT-2 with its optimiser takes about 3


def examine(home_folder: Path | None) -> list[Finding]:
    """Everything worth knowing when something does not work, or before anything is tried."""
    return [
        Finding("good", "clipcap", __version__),
        Finding("good", "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *_packages(),
        *_torch(),
        _torchvision(),
        _memory(),
        *_store(home_folder),
        _network(),
    ]


def _packages() -> Iterator[Finding]:
    for name in ("transformers", "tokenizers", "safetensors", "pyarrow", "pillow"):
        yield found(name, lambda name=name: _version_of(name))  # type: ignore[misc]


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingError(f"the package {package} is not installed", hint=f"pip install {package}") from error


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("fail", "torch", f"it cannot be loaded: {error}", "Install it again: https://pytorch.org/get-started", MissingError.exit_code)
        return
    from clipcap_cli.encoders.precision import choose_device, choose_precision

    device = choose_device()
    name = f"{torch.cuda.get_device_name(device)}" if device.type == "cuda" else f"{count(_cores(), 'core')}, no GPU that torch can use"
    precision, reason = choose_precision("auto", device)
    yield Finding("good", "torch", f"{torch.__version__}, {count(torch.get_num_threads(), 'thread')}")
    yield Finding("good", "device", f"{device}: {name}")
    yield Finding("good", "precision", f"{precision}: {reason}")


def _torchvision() -> Finding:
    """One that does not fit torch breaks every import of transformers' models."""
    try:
        version = importlib.metadata.version("torchvision")
    except importlib.metadata.PackageNotFoundError:
        return Finding("good", "torchvision", "not installed; nothing here needs it")
    try:
        importlib.import_module("torchvision")
    except Exception as error:  # RuntimeError for a missing operator, ImportError or OSError for a missing library
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        hint = "Remove it (pip uninstall torchvision), or install the one that fits."
        return Finding("fail", "torchvision", f"{version} does not fit this torch: {reason}", hint, MissingError.exit_code)
    return Finding("good", "torchvision", version)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> Finding:
    try:
        amount = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return Finding("good", "memory", "not known on this system")
    if amount < _LITTLE_MEMORY:
        return Finding("warn", "memory", f"{size(amount)}", "GPT-2 and CLIP will be tight; the recipe quickstart fits.")
    return Finding("good", "memory", size(amount))


def _store(home_folder: Path | None) -> Iterator[Finding]:
    from clipcap_cli.storage.home import open_home

    try:
        home = open_home(home_folder)
    except ClipcapError as error:
        yield Finding("fail", "store", str(error), exit_code=error.exit_code)
        return
    there = next(folder for folder in (home.root, *home.root.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if not there.is_dir() or not os.access(there, os.W_OK):
        yield Finding("fail", "store", f"{home.root} cannot be written", "Choose another with --home or CLIPCAP_HOME.", exit_code=6)
    elif free < _LITTLE_SPACE:
        yield Finding("warn", "store", f"{home.root}: {size(free)} free", "Runs with GPT-2 take half a gigabyte each; `clipcap runs remove` makes room.")
    else:
        yield Finding("good", "store", f"{home.root}: {size(free)} free")

    yield from _encoders(home)
    for name in ("builtin:nano", "gpt2"):
        yield found("language model", lambda name=name: language_model_at_hand(name, home), missing="warn")  # type: ignore[misc]


def _encoders(home: Home) -> Iterator[Finding]:
    """A line for each that can be used now, and one for each family of those that cannot."""
    from clipcap_cli.encoders.registry import EncoderInfo, known_encoders

    lacking: dict[str, list[EncoderInfo]] = {}
    for info in known_encoders(home):
        if info.usable:
            yield Finding("good", "encoder", f"{info.spec}: D {info.embedding_size}")
        else:
            lacking.setdefault(info.spec.partition(":")[0], []).append(info)
    for infos in lacking.values():
        shown = next((info for info in infos if info.spec == _USUAL_ENCODER), infos[0])
        others = f"; {', '.join(info.spec for info in infos if info is not shown)} likewise" if len(infos) > 1 else ""
        yield Finding("warn", "encoder", f"{shown.spec} needs {shown.needs}{others}")


def _network() -> Finding:
    from clipcap_cli.storage.downloads import is_offline

    return Finding("good", "network", "offline: nothing is downloaded" if is_offline() else "may be used for downloads (--offline forbids it)")
