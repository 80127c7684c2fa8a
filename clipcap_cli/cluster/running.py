"""Tasks go out to the cluster one by one, and what became of each comes back as it is done.

A task is a pure function of what it is told: it reads a shard and writes a shard under a name that follows from its input. So a task that a dead node had begun
is done again elsewhere and nothing is lost or doubled, whoever is first.
"""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from clipcap_cli.cluster.engine import Cluster, alive, load_ray
from clipcap_cli.errors import ClipcapError, InputError, MissingError, StoreError, UnreachableError
from clipcap_cli.events import Listener, Note
from clipcap_cli.words import count

_IN_FLIGHT = 2  # tasks of a worker: one that it does, and one that waits; a dead worker's wait until it is found dead
_LOOK_S = 5.0  # between two looks at the nodes
_ERRORS: dict[str, type[ClipcapError]] = {kind.__name__: kind for kind in (InputError, MissingError, StoreError, UnreachableError)}

Result = TypeVar("Result")
Task = Mapping[str, Any]  # plain JSON


class Worker(ABC):
    """What runs in a process of the cluster: made once, asked for each task. What it loads, it loads at its first task.

    Args:
        settings: plain JSON, the same for all workers.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.settings = settings
        if settings.get("offline"):
            os.environ["CLIPCAP_OFFLINE"] = "1"

    @abstractmethod
    def work(self, task: Task) -> Mapping[str, Any]:
        """Do one task, and tell in plain JSON what became of it.

        Raises:
            ClipcapError: no task can be done: weights are missing, nothing can be written.
        """

    def __call__(self, batch: Any) -> Any:
        """As Ray Data has it: a table of tasks in, a table of answers out."""
        import pyarrow as pa

        answers = [self._answer(json.loads(task)) for task in batch["task"].to_pylist()]
        return pa.table({"number": batch["number"], "answer": pa.array([json.dumps(answer) for answer in answers], pa.string())})

    def _answer(self, task: Task) -> Mapping[str, Any]:
        try:
            return {"result": self.work(task)}
        except ClipcapError as error:
            kind = next((name for name, kind in _ERRORS.items() if isinstance(error, kind)), "InputError")
            return {"error": [kind, error.message, error.where, error.hint]}


def run_tasks(
    cluster: Cluster, worker: type[Worker], settings: Mapping[str, Any], tasks: Sequence[Task], *, workers: int | None, events: Listener
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Do tasks on the cluster.

    Args:
        workers: how many take part; None for one a node, or one a GPU.

    Yields:
        The number of a task and its result, as they are done.

    Raises:
        ClipcapError: a worker cannot work.
        UnreachableError: the cluster is gone. What was done until then lies where it was written.
    """
    ray = load_ray()
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    number, cores = cluster.workers(workers)
    number = min(number, len(tasks))
    if ray.available_resources().get("CPU", 0) < cores:
        events(Note("others use all cores of the cluster; this begins when some are free", "warning"))
    items = [{"number": place, "task": json.dumps(task)} for place, task in enumerate(tasks)]
    answers = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        worker,
        batch_size=1,
        batch_format="pyarrow",
        fn_constructor_kwargs={"settings": {**settings, "cores": int(cores)}},
        # Actors are started again, and tasks done again, as often as it takes: so it is where nothing is said.
        compute=ray.data.ActorPoolStrategy(size=number, max_tasks_in_flight_per_actor=_IN_FLIGHT),
        num_cpus=cores,
        num_gpus=1 if cluster.gpus >= number else 0,
    )
    watch = _Watch(ray, events)
    try:
        for batch in answers.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            watch.look()
            for place, answer in zip(batch["number"].to_pylist(), batch["answer"].to_pylist(), strict=True):
                yield place, _result(json.loads(answer))
    except ray.exceptions.RayError as error:
        raise _broken(error) from error


def in_order(results: Iterable[tuple[int, Result]], done_before: Mapping[int, Result], total: int) -> Iterator[tuple[int, Result]]:
    """Results by number: what is done early waits, which is little, since vectors and captions lie in files."""
    waiting = dict(done_before)
    coming = iter(results)
    for number in range(total):
        while number not in waiting:
            place, result = next(coming)
            waiting[place] = result
        yield number, waiting.pop(number)


class _Watch:
    """Says once for each node that it is gone."""

    def __init__(self, ray: Any, events: Listener) -> None:
        self._ray, self._events = ray, events
        self._nodes, self._looked = alive(ray), time.monotonic()

    def look(self) -> None:
        if time.monotonic() - self._looked < _LOOK_S:
            return
        now, self._looked = alive(self._ray), time.monotonic()
        if now < self._nodes:
            self._events(Note(f"{count(self._nodes - now, 'node')} of the cluster went away; the others do what it had begun", "warning"))
        self._nodes = now


def _result(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    if "error" in answer:
        kind, message, where, hint = answer["error"]
        raise _ERRORS[kind](message, where=where, hint=hint)
    result: Mapping[str, Any] = answer["result"]
    return result


def _broken(error: Exception) -> ClipcapError:
    said = str(error).strip().splitlines()
    reason = next((line.strip() for line in reversed(said) if line.strip()), type(error).__name__)[:300]
    return UnreachableError(f"the cluster gave up: {reason}", hint="Type the same line again: what is done is not done again.")
