"""The processes that train one captioner together, each on its share of every batch.

torchrun, `accelerate launch`, `srun`, `mpirun` and `clipcap train --devices` start them and say so in the environment; accelerate forms the group, NCCL or gloo
carries what is exchanged. All know the same, so all decide the same; what must not differ is agreed on. Alone, nothing is exchanged and nothing is rounded
otherwise.

A process that dies closes its connections: the others' exchange fails then, which is an UnreachableError.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from clipcap_cli.encoders.precision import choose_device
from clipcap_cli.errors import InputError, UnreachableError
from clipcap_cli.training.launching import started_together

Value = TypeVar("Value")

_BUCKET_BYTES = 32 * 2**20  # of gradients that are summed in one exchange: the copy that is made of them stays small
_CLOSED = ("closed by peer", "reset by peer", "Broken pipe", "Connection refused")  # what gloo and NCCL say of a peer that is gone
# The first process may have millions of pictures to embed while the others wait. One that has died is noticed at once, by its closed connections.
_PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class Peers:
    """This process among those that train together.

    Attributes:
        rank: its number, from 0.
        count: how many there are, on all machines.
        device: where it computes.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.rank == 0

    @property
    def own(self) -> slice:
        """Its share of whatever is shared one by one. Batches hold captions by length, so shares are of like length too."""
        return slice(self.rank, None, self.count)

    def total(self, *numbers: float) -> list[float]:
        """The sum of each number over all processes, in double precision."""
        return self._reduced(numbers, dist.ReduceOp.SUM)

    def highest(self, *numbers: float) -> list[float]:
        """The highest of each number among all processes."""
        return self._reduced(numbers, dist.ReduceOp.MAX)

    def _reduced(self, numbers: Iterable[float], how: Any) -> list[float]:
        if self.count == 1:
            return list(numbers)
        values = torch.tensor([*numbers], dtype=torch.float64, device=self.device)
        with _telling():
            dist.all_reduce(values, op=how)
        return [float(value) for value in values.tolist()]

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make every gradient the sum of those of all processes; a process without one adds nothing. Afterwards all hold the same bits."""
        if self.count == 1:
            return
        for parameter in (parameters := [*parameters]):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        waiting = []
        with _telling():
            for gradients in _buckets([parameter.grad for parameter in parameters if parameter.grad is not None]):
                flat = torch.cat([gradient.flatten() for gradient in gradients])
                waiting.append((gradients, flat, dist.all_reduce(flat, async_op=True)))
            for gradients, flat, work in waiting:
                work.wait()
                for gradient, summed in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
                    gradient.copy_(summed.view_as(gradient))

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the numbers of the first: on machines of another kind they may have been drawn or loaded otherwise."""
        if self.count == 1:
            return
        with _telling(), torch.no_grad():
            for tensor in tensors:
                dist.broadcast(tensor.data, src=0)

    def exchange(self, value: Any) -> list[Any]:
        """A plain JSON value of each process, in the order of their numbers, at each of them."""
        if self.count == 1:
            return [value]
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8).to(self.device)
        longest = int(self.highest(len(text))[0])
        padded = torch.full((longest,), ord(" "), dtype=torch.uint8, device=self.device)
        padded[: len(text)] = text
        gathered = [torch.empty_like(padded) for _ in range(self.count)]
        with _telling():
            dist.all_gather(gathered, padded)
        return [json.loads(bytes(one.cpu().numpy())) for one in gathered]

    def from_first(self, make: Callable[[], Value]) -> Value:
        """What the first process makes, a plain JSON value, at all of them."""
        found: Value = self.exchange(make() if self.is_first else None)[0]
        return found

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """Let the first process through the block, then the others: what it puts into the store they find there."""
        if not self.is_first:
            self.total(0)
        yield
        if self.is_first:
            self.total(0)


ALONE = Peers(0, 1, torch.device("cpu"))


@contextmanager
def joined(device: str = "auto") -> Iterator[Peers]:
    """Find the other processes that the environment tells of, and leave them at the end; alone where it tells of none.

    Args:
        device: "auto" for the GPU of the process's number, or the CPU where the machine has none; "cpu", "cuda"; alone, any.

    Raises:
        InputError: one device was named for several processes.
        MissingError: torch knows the device, but this machine has none.
        UnreachableError: the others do not come.
    """
    count = started_together()
    if count == 1:
        yield Peers(0, 1, choose_device(device))
        return
    on_cpu = choose_device(device).type == "cpu"
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device {device} is one device, and {count} processes train together", hint="Leave it out, or say cpu or cuda.")
    from accelerate import PartialState

    with _telling(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads that were chosen, which is said in the notes
        state = PartialState(cpu=on_cpu, timeout=_PATIENCE)
    if state.num_processes != count:
        raise UnreachableError(f"{count} processes were to train together, and {state.num_processes} found one another", hint="Start them with torchrun.")
    try:
        yield Peers(state.process_index, state.num_processes, state.device)
    finally:
        leave()
        PartialState._reset_state()


def leave() -> None:
    """Leave the others. Libraries that write in the first process only take this one for alone then."""
    if dist.is_initialized():
        dist.destroy_process_group()


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """The gradients in groups of one type and of some size."""
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        if bucket and (size >= _BUCKET_BYTES or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.numel() * gradient.element_size()
    if bucket:
        yield bucket


@contextmanager
def _telling() -> Iterator[None]:
    """A failed exchange in our words."""
    try:
        yield
    except (RuntimeError, ValueError, TimeoutError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = "" if any(words in str(error) for words in _CLOSED) else f" ({str(error).strip().partition(chr(10))[0] or type(error).__name__})"
        raise UnreachableError(f"another process of this training is gone{reason}", hint="What it said, if it could, is above.") from error
