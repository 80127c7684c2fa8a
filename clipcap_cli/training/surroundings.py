"""What a training runs on: machine, packages, the settings of the environment that change sums, and the state of the code."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from clipcap_cli._version import __version__

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pillow", "pyarrow", "peft", "openai-clip", "efficientnet_lite_pytorch")
# Of the environment: what decides which kernels are taken, and in which order they add.
_CPU_SETTINGS = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")
_CUDA_SETTINGS = ("CUBLAS_WORKSPACE_CONFIG",)
_GIT_S = 10.0  # a repository on a slow disk must not hold up a training


def packages() -> dict[str, str]:
    """Versions of Python, clipcap and what computes; packages that are not installed are left out."""
    found = {"python": platform.python_version(), "clipcap": __version__}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine(device: torch.device, precision: str, processes: int = 1) -> dict[str, Any]:
    """Where it is computed, by how many processes, and with which numbers."""
    facts: dict[str, Any] = {
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": precision,
    }
    if device.type == "cuda":
        facts |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}  # type: ignore[no-untyped-call]
    if processes > 1:
        facts["processes"] = processes
    settings = _CPU_SETTINGS if device.type == "cpu" else _CUDA_SETTINGS
    return facts | {name: os.environ[name] for name in settings if name in os.environ}


def git_states() -> dict[str, dict[str, Any]]:
    """The commit of clipcap's own code, and of the folder it was started in, where these are git repositories; `changed`: files were not as committed."""
    folders = {"clipcap": Path(__file__).parent, "folder": Path.cwd()}
    states = {name: _git_state(folder) for name, folder in folders.items()}
    return {name: state for name, state in states.items() if state is not None}


def _git_state(folder: Path) -> dict[str, Any] | None:
    def git(*arguments: str) -> str:
        line = ["git", "-C", str(folder), *arguments]
        return subprocess.run(line, capture_output=True, text=True, check=True, timeout=_GIT_S, stdin=subprocess.DEVNULL).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):  # no git, no repository, or it takes too long
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
