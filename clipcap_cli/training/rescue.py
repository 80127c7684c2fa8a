"""What is left when a process of a training is gone: a checkpoint of the last step that all had made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from clipcap_cli.errors import UnreachableError
from clipcap_cli.training.checkpoints import Keeper
from clipcap_cli.training.loop import Position
from clipcap_cli.training.peers import Peers, leave
from clipcap_cli.training.runs import Run, list_checkpoints, run_lock

_WAIT_S = 20.0  # for another process that is writing the checkpoint; launchers kill what is left half a minute after the first has died


@contextmanager
def rescuing(run: Run, keeper: Keeper, peers: Peers, position: Position) -> Iterator[None]:
    """When a peer is gone within the block, see to it that there is a checkpoint of where the training is.

    The first process writes it. All have the same weights: where it is the first that is gone, and its lock with it, the next one does.

    Raises:
        UnreachableError: a peer is gone; its hint says how to go on.
    """
    try:
        yield
    except UnreachableError as error:
        leave()
        if position.step:
            with nullcontext() if peers.is_first else run_lock(run, wait_s=_WAIT_S):
                if not any(checkpoint.step == position.step and checkpoint.can_resume for checkpoint in list_checkpoints(run)):
                    keeper.stepped(position, True)
        hint = f"Run {run.name!r} is kept as it was at step {position.step:,}; to go on: clipcap train {run.name} --resume"
        raise UnreachableError(error.message, where=run.name, hint=hint) from error
