"""Processes that are started together: what the environment tells them, and `clipcap train --devices N`, which starts some on this machine.

That is the same command line N times under torch's own launcher, as torchrun would start it. The launcher watches its processes: when one dies, the others are
asked to end, and half a minute later are killed. It is the one who tells what happened; what the processes know of it (where the run stands) they leave in a
file.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from clipcap_cli.encoders.precision import choose_device
from clipcap_cli.errors import ClipcapError, InputError, UnreachableError
from clipcap_cli.storage.processes import birth
from clipcap_cli.words import count

_LAUNCHER, _WORD = "CLIPCAP_LAUNCHER", "CLIPCAP_WORD"
_AFTER_YOU_S = 1.0  # so that the process that is the cause speaks before those that only miss it
_INTERRUPTED = 130  # as a shell counts SIGINT


def started_together() -> int:
    """How many processes the environment says there are, on all machines; 1 where it says nothing."""
    return max(_number(name, 1) for name in ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"))


def speaks() -> bool:
    """Whether this process is the first of those that were started together, or alone: known before they have found one another."""
    return max(_number(name, 0) for name in ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")) == 0


def processes_for(devices: str, device: str = "auto") -> int:
    """How many processes train on this machine.

    Args:
        devices: a number, or "auto" for one a GPU; on a CPU that is one.
        device: "auto", "cpu" or "cuda".

    Raises:
        InputError: it is no number, or more than there are.
        MissingError: there is no such device.
    """
    import torch

    kind = choose_device(device).type
    there = torch.cuda.device_count() if kind == "cuda" else os.cpu_count() or 1
    if devices == "auto":
        return there if kind == "cuda" else 1
    if not devices.isdecimal() or int(devices) < 1:
        hint = "Say how many processes are to train, as --devices 2; lists of devices are for embed and caption."
        raise InputError(f"--devices {devices} is neither auto nor a number from 1", hint=hint)
    if int(devices) > there:
        what = count(there, "GPU") if kind == "cuda" else f"{count(there, 'core')} and no GPU"
        raise InputError(f"--devices {devices} is more than there is: this machine has {what}", hint="Use --devices auto.")
    return int(devices)


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run a command line of clipcap in several processes that find one another.

    Args:
        arguments: what was typed after `clipcap`.

    Returns:
        The exit code: 0 where all have come to their end, else that of the one that failed first, which has said why.

    Raises:
        UnreachableError: a process died without a word; the others are ended too.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.CRITICAL)  # of the launcher's own, which tells what we tell
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="clipcap-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=0.2,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        word = Path(folder) / "word"
        os.environ |= {_LAUNCHER: str(os.getpid()), _WORD: str(word)}
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
        try:
            elastic_launch(config, sys.executable)("-m", "clipcap_cli", *arguments)
        except SignalException:  # all were asked to stop; the first process has told how the run stands
            return _INTERRUPTED
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            if failure.exitcode > 0:
                return int(failure.exitcode)
            hint = word.read_text(encoding="utf-8") if word.exists() else "What was made before is kept; type the same line with --resume to go on."
            raise UnreachableError(f"process {rank} of {processes} is gone ({_signal_of(failure)}), and the others were ended", hint=hint) from error
    return 0


def launcher_is_gone() -> bool:
    """Whether whoever started this process with `launch` was killed: nobody would end it any more."""
    return _LAUNCHER in os.environ and os.environ[_LAUNCHER] != str(os.getppid())


def may_speak(error: BaseException) -> bool:
    """Whether this process is the one, among those that were started together on this machine, that tells what went wrong: the first that comes to it.

    That a peer is gone is told by the launcher, where that is ours: it knows how.
    """
    if isinstance(error, UnreachableError):
        time.sleep(_AFTER_YOU_S)
    launched = _LAUNCHER in os.environ
    path = Path(os.environ[_WORD]) if launched else Path(tempfile.gettempdir()) / f"clipcap-{os.getppid()}-{birth(os.getppid())}"
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write((error.hint or "") if isinstance(error, ClipcapError) else "")
    except FileExistsError:
        return False
    return not (launched and isinstance(error, UnreachableError))


def _signal_of(failure: Any) -> str:
    try:
        return signal.Signals(-failure.exitcode).name
    except ValueError:
        return f"exit code {failure.exitcode}"


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default
