"""Where workers leave what they have done until this process takes it: a folder of the store, or an address for clusters whose nodes do not see the store."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

from clipcap_cli.cluster.engine import Engine, absolute, connected
from clipcap_cli.cluster.running import Task, Worker, in_order, run_tasks
from clipcap_cli.cluster.shard_files import get_table, names_in
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, Note
from clipcap_cli.storage.addresses import joined
from clipcap_cli.storage.home import Home
from clipcap_cli.words import count

_SHARED = "All nodes must see it at this path, or give them an address that they all reach: --staging s3://BUCKET/PATH."


def staging_of(engine: Engine, home: Home) -> str:
    """The folder or address."""
    if engine.staging is not None:
        return absolute(engine.staging)
    home.prepare().staging.mkdir(exist_ok=True)
    return str(home.staging)


def run_on(
    engine: Engine, worker: type[Worker], settings: Mapping[str, Any], tasks: Sequence[Task], must_see: Sequence[str], events: Listener
) -> Generator[tuple[int, Mapping[str, Any]], None, None]:
    """Reach the cluster, if there is something to do, and do the tasks; see `run_tasks`."""
    if tasks:
        with connected(engine.address, must_see=must_see, events=events) as cluster:
            yield from run_tasks(cluster, worker, settings, tasks, workers=engine.nodes, events=events)


def finished_shards(
    engine: Engine,
    staging: str,
    worker: type[Worker],
    settings: Mapping[str, Any],
    shards: Mapping[str, Task],
    *,
    must_see: Sequence[str] = (),
    done: Callable[[int], None] = lambda _: None,
    events: Listener,
) -> Generator[tuple[int, Any], None, None]:
    """The shards that workers write, in order, one at a time in memory; those that an earlier run has left whole are taken as they are.

    Args:
        shards: the task of each, by the name of the file that the worker writes.
        done: is told the number of each that is finished, in any order.

    Raises:
        ClipcapError: a worker or the cluster cannot do it, or what was written is not seen here.
    """
    names = [*shards]
    there = names_in(staging)
    # What is there is read once to see whether it is whole, and again when its turn comes: all of it need not be in memory.
    before: dict[int, Mapping[str, Any]] = {number: {} for number, name in enumerate(names) if name in there and get_table(joined(staging, name)) is not None}
    if before:
        events(Note(f"{count(len(before), 'shard')} of {len(names):,} {'was' if len(before) == 1 else 'were'} finished before"))
    for number in before:
        done(number)
    left = [number for number in range(len(names)) if number not in before]
    tasks = [{**shards[names[number]], "output": joined(staging, names[number])} for number in left]

    def counted() -> Generator[tuple[int, Mapping[str, Any]], None, None]:
        with closing(run_on(engine, worker, settings, tasks, [*must_see, staging], events)) as results:
            for place, result in results:
                done(left[place])
                yield left[place], result

    with closing(counted()) as results:
        for number, _ in in_order(results, before, len(names)):
            table = get_table(joined(staging, names[number]))
            if table is None:
                raise InputError("what a node has written is not seen here", where=joined(staging, names[number]), hint=_SHARED)
            yield number, table
