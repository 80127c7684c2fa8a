"""The cluster: how it is reached, what it consists of, and whether its nodes can do the work.

Ray is asked for nothing but to run what we hand to it: no dashboard, no reports of use, no bars and logs of its own.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipcap_cli._version import __version__
from clipcap_cli.errors import ClipcapError, InputError, MissingError, UnreachableError, UsageError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.addresses import is_address
from clipcap_cli.words import count

NODES_IN_A_MESSAGE = 5
OBJECTS_BYTES = 200 * 2**20  # of a cluster that is started here: what goes through it are lists of pictures, not pictures

_TCP_S, _GCS_S, _NODES_S = 5.0, 20.0, 60.0
_ASK = "import sys; from ray._raylet import GcsClient; GcsClient(address=sys.argv[1])"
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
_HOW = "Start one with `ray start --head`, and name it as HOST:6379; without --address, the cores of this machine are used."


@dataclass(frozen=True)
class Engine:
    """How bulk work is to be done.

    Attributes:
        address: of the cluster's head, HOST:PORT; None for this machine alone.
        nodes: how many workers take part, each with a network of its own; None for one a node, or one a GPU.
        staging: where shards lie until they are in the store, for clusters whose nodes do not see the store; None for the store.
        shard_size: pictures of a shard, where the source has none.
        batch_size: pictures that go through a network at once.
        threads: that read and decode in each worker; None for as many as it has cores.
    """

    address: str | None = None
    nodes: int | None = None
    staging: str | None = None
    shard_size: int = 1024
    batch_size: int = 32
    threads: int | None = None


@dataclass(frozen=True)
class Node:
    """A node that is alive: Ray's id of it, its name for people, what it has."""

    node_id: str
    name: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Cluster:
    """A cluster that is reached: the nodes that can work."""

    nodes: tuple[Node, ...]

    @property
    def gpus(self) -> int:
        """Of all nodes."""
        return int(sum(node.gpus for node in self.nodes))

    def workers(self, wanted: int | None) -> tuple[int, float]:
        """How many workers there are to be, and the cores of each."""
        number = wanted or self.gpus or len(self.nodes)
        together = sum(node.cpus for node in self.nodes)
        return number, max(1.0, min(float(together // number), min(node.cpus for node in self.nodes)))


@contextmanager
def connected(address: str | None, *, must_see: Sequence[str] = (), events: Listener = silent) -> Iterator[Cluster]:
    """The cluster at an address, or one on this machine for as long as it is needed.

    Args:
        must_see: paths and addresses that every node has to read.

    Raises:
        MissingError: Ray or clipcap is not installed, here or on a node.
        UnreachableError: nobody answers at the address.
        InputError: another version runs there, or a node does not see a path.
    """
    ray = load_ray()
    ours = not ray.is_initialized()
    if ours:
        _start(ray, address)
    elif address is not None and address != ray.get_runtime_context().gcs_address:
        _check_answers(address)
        raise InputError("this process is connected to another cluster", where=address, hint="Call ray.shutdown() first.")
    try:
        nodes = _nodes(ray)
        if not nodes:
            raise UnreachableError("no node of this cluster has a core to work with", where=address, hint="Start one with `ray start --address HOST:6379`.")
        cluster = Cluster(nodes)
        check_nodes(cluster, [path for path in must_see if not is_address(path)])
        have = f", {count(cluster.gpus, 'GPU')}" if cluster.gpus else ""
        events(Note(f"ray: {count(len(nodes), 'node')}, {sum(node.cpus for node in nodes):g} cores{have}"))
        yield cluster
    finally:
        if ours:
            ray.shutdown()


def alive(ray: Any) -> int:
    """How many nodes are there now."""
    return sum(bool(node["Alive"]) for node in ray.nodes())


def load_ray() -> Any:
    """The package, told to be quiet.

    Raises:
        MissingError: it is not installed.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in _QUIET.items()})
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingError(f"--engine ray needs the package ray, which cannot be imported ({error})", hint='pip install "clipcap-cli[cluster]"') from error
    return ray


def _start(ray: Any, address: str | None) -> None:
    quiet = {"logging_level": logging.CRITICAL, "log_to_driver": False, "configure_logging": True}
    if address is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        with _speechless():
            ray.init(address="local", num_cpus=cores, include_dashboard=False, object_store_memory=OBJECTS_BYTES, **quiet)
    else:
        _check_answers(address)
        try:
            with _speechless():
                ray.init(address=address, **quiet)
        except (RuntimeError, ConnectionError, ValueError) as error:
            raise _refused(address, error) from error
    # Its daemons' messages are printed to stdout, where the result goes, and nothing that can be set turns that off.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _speechless() -> Iterator[None]:
    """Without stderr: Ray's C++ part begins by saying there that it will be quiet."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    sys.stderr.flush()
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _refused(address: str, error: Exception) -> ClipcapError:
    said = " ".join(str(error).split())
    if "ersion mismatch" in said:
        hint = "Install the same versions of ray and Python here and on all nodes."
        return InputError(f"the cluster runs other versions than this machine: {said.partition('ersion mismatch: ')[2][:300]}", where=address, hint=hint)
    return UnreachableError(f"this cluster cannot be used: {said[:300]}", where=address, hint=_HOW)


def _check_answers(address: str) -> None:
    """Whether a cluster answers, in seconds: Ray itself tries for two minutes, and then ends the process.

    Raises:
        UsageError: it is no address.
        UnreachableError: nobody answers.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "//" in address or not 0 < int(port) < 1 << 16:
        raise UsageError(
            f"{address!r} is no address of a cluster", where="--address", hint="Write HOST:PORT, as `ray start` tells it; the port is usually 6379."
        )
    try:
        socket.create_connection((host, int(port)), timeout=_TCP_S).close()
    except OSError as error:
        raise UnreachableError(f"nobody answers at this address ({error.strerror or error})", where=address, hint=_HOW) from error
    try:
        asked = subprocess.run([sys.executable, "-c", _ASK, address], capture_output=True, timeout=_GCS_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnreachableError(
            f"somebody takes calls at this address, but it is no Ray cluster that answers within {_GCS_S:g} s", where=address, hint=_HOW
        ) from error
    if asked.returncode:
        raise UnreachableError("what answers at this address is no Ray cluster", where=address, hint=_HOW)


def _nodes(ray: Any) -> tuple[Node, ...]:
    found = [node for node in ray.nodes() if node["Alive"]]
    nodes = [Node(node["NodeID"], node["NodeManagerAddress"], node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0)) for node in found]
    return tuple(sorted((node for node in nodes if node.cpus >= 1), key=lambda node: node.node_id))


def check_nodes(cluster: Cluster, paths: Sequence[str]) -> None:
    """Whether every node has this clipcap, and sees these paths.

    Raises:
        MissingError: clipcap is not there.
        InputError: it is another version, or a path is not there.
    """
    told = _ask_nodes(cluster, paths)
    without = [name for name, facts in told if facts["clipcap"] is None]
    if without:
        reason = next(facts["reason"] for _, facts in told if facts["clipcap"] is None)
        raise MissingError(f"clipcap cannot be imported on {_listed(without)} ({reason})", hint='On each node: pip install "clipcap-cli[cluster]".')
    others = {facts["clipcap"]: name for name, facts in told if facts["clipcap"] != __version__}
    if others:
        version, name = next(iter(others.items()))
        raise InputError(f"{name} has clipcap {version}, and this machine {__version__}", hint="Install the same version on all.")
    for path in paths:
        blind = [name for name, facts in told if path in facts["unseen"]]
        if blind:
            hint = "Put it on a disk that all nodes see, at the same path, or at an address (s3://, gs://); for the store, see --staging."
            raise InputError(f"this is not seen by {_listed(blind)}", where=path, hint=hint)


def _ask_nodes(cluster: Cluster, paths: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    ray = load_ray()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from clipcap_cli.cluster import node_check

    ray.cloudpickle.register_pickle_by_value(node_check)  # a node without clipcap could not import it
    try:
        look = ray.remote(max_retries=0)(node_check.look_around)
        asked = {
            look.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False)).remote(list(paths)): node.name
            for node in cluster.nodes
        }
    finally:
        ray.cloudpickle.unregister_pickle_by_value(node_check)
    done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=_NODES_S)
    told = []
    for answer in done:
        with suppress(ray.exceptions.RayError):  # it went away meanwhile
            told.append((asked[answer], ray.get(answer)))
    if not told:
        raise UnreachableError(f"no node of the cluster did as it was asked within {_NODES_S:g} s", hint="Look at `ray status`.")
    return told


def _listed(names: Sequence[str]) -> str:
    different = list(dict.fromkeys(names))
    shown = ", ".join(different[:NODES_IN_A_MESSAGE]) + (" …" if len(different) > NODES_IN_A_MESSAGE else "")
    return f"{'node' if len(different) == 1 else 'nodes'} {shown}"


def absolute(address: str) -> str:
    """A path as all nodes of one disk know it; an address as it is."""
    return address if is_address(address) else os.fspath(Path(address).expanduser().absolute())
