"""What a worker finds on its node: the store, or one of its own with the weights; an encoder that is the one that was meant."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipcap_cli.encoders.base import ImageEncoder
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.storage.home import Home, open_home


def store_here(root: str) -> Home:
    """The store of whoever asked, if this node sees it; else the node's own ($CLIPCAP_HOME)."""
    return open_home(root) if (Path(root) / "home.json").exists() else open_home()


def use_cores(number: int) -> None:
    """Compute on so many cores: others of the node are somebody else's."""
    import torch

    os.environ["OMP_NUM_THREADS"] = str(number)
    torch.set_num_threads(number)


def load_here(settings: Mapping[str, Any], home: Home) -> ImageEncoder:
    """The encoder that was meant.

    Raises:
        ClipcapError: its weights are not here, or it is another one.
    """
    try:
        encoder = load_encoder(settings["spec"], home=home, device=settings["device"], precision=settings["precision"])
    except ClipcapError as error:
        raise on_this_node(error) from error
    if (encoder.fingerprint, encoder.precision) != (settings["fingerprint"], settings["precision"]):
        message = f"the encoder {encoder.spec} is another one on node {socket.gethostname()} ({encoder.fingerprint:.12}, {encoder.precision}) than here"
        raise InputError(message, hint="Bring the same weights, and the same versions of packages, to all nodes.")
    return encoder


def on_this_node(error: ClipcapError) -> ClipcapError:
    """An error that says which node has it."""
    return type(error)(f"on node {socket.gethostname()}: {error.message}", where=error.where, hint=error.hint)
