"""Small files that would become far more than they are: each is refused by a process that never holds much more than it did before."""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable

import pytest
import torch
from hostile_tools import Stage, make_zip, replace

ROOM_MB = 250  # that a refusal may take beyond what loading the program took
MOST_BYTES = 8 * 2**30  # of address space: what is not refused fails there, and does not bring the machine down

# One process loads what is needed, and a child of it runs each command line: how much it held at most is then known to the kernel.
_RUN_EACH = """
import json, os, resource, sys
import torch, clipcap_cli.captioner.importing, clipcap_cli.encoders.openai, clipcap_cli.datasets.original_pickles
from clipcap_cli.cli.main import main
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
lines, most = json.loads(sys.argv[1])
for line in lines:
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        os._exit(main(line))
    _, status, used = os.wait4(child, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), (used.ru_maxrss - base) // 1024]))
"""


def _mapper(wrap: Callable[[torch.Tensor], torch.Tensor]) -> bytes:
    """A checkpoint of the original code whose tensors are made by `wrap` from one number."""
    shapes = {"model.0.weight": (6000, 51_200), "model.0.bias": (6000,), "model.2.weight": (25_600, 6000), "model.2.bias": (25_600,)}
    stream = io.BytesIO()
    torch.save({f"clip_project.{name}": wrap(torch.zeros(1, dtype=torch.float16)).expand(shape) for name, shape in shapes.items()}, stream)
    return stream.getvalue()


def _sparse_layout() -> bytes:
    stream = io.BytesIO()
    indices = torch.zeros(2, 1, dtype=torch.long)
    torch.save({"clip_project.weight": torch.sparse_coo_tensor(indices, torch.ones(1), (2**20, 2**20), check_invariants=True)}, stream)
    return stream.getvalue()


def _grown(data: bytes, name: str) -> bytes:
    """The same archive with one of its files grown by 400 MB, and compressed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist()}
    return make_zip(files, grow=next(entry for entry in files if entry.endswith(name)))


REMEMBERS = {
    "under 2 000 000 000": b"\x80\x02Nr" + struct.pack("<I", 2 * 10**9) + b".",
    "under 2 000 000 000 in digits": b"Np2000000000\n.",
    "so behind honest things": pickle.dumps({"clip_embedding": [1, 2.5, "text", b"bytes", {3}], "captions": [2**80]}, 4)[:-1]
    + b"Nr"
    + struct.pack("<I", 2 * 10**9)
    + b".",
    "so behind a frame that lies": b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"Nr" + struct.pack("<I", 2 * 10**9) + b".",
}
FILES: dict[str, dict[str, Callable[[], bytes]]] = {
    "model import FILE": {
        "one number, repeated": lambda: _mapper(lambda one: one),
        "a compressed tensor": lambda: _grown(_mapper(lambda one: one), "data/0"),
        "a compressed pickle": lambda: _grown(_mapper(lambda one: one), "data.pkl"),
        "another kind of tensor": _sparse_layout,
    },
    "embed pictures --encoder openai:FILE": {
        "one number, repeated": lambda: _mapper(lambda one: one),
        "a compressed tensor": lambda: _grown(_mapper(lambda one: one), "data/0"),
        "a compressed pickle": lambda: _grown(_mapper(lambda one: one), "data.pkl"),
        "a TorchScript archive with a compressed pickle": lambda: make_zip({"a/data.pkl": b"\x80\x02", "a/constants.pkl": b""}, grow="a/data.pkl"),
        **{
            f"a TorchScript archive that remembers {how}": lambda data=data: make_zip({"a/data.pkl": data, "a/constants.pkl": b""})  # type: ignore[misc]
            for how, data in REMEMBERS.items()
        },
    },
    "dataset add FILE": {
        **{f"remembers {how}": lambda data=data: data for how, data in REMEMBERS.items()},  # type: ignore[misc]
        "bytes without end": lambda: b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b".",
        "a text without end": lambda: b"\x80\x04\x8d" + struct.pack("<Q", 2**33) + b".",
        "a compressed tensor": lambda: pickle.dumps({"clip_embedding": _Storage(_grown(_mapper(lambda one: one), "data/0")), "captions": []}),
    },
    "embed pictures --encoder efficientnet-lite0 --import FILE": {
        "remembers": lambda: REMEMBERS["under 2 000 000 000"],
    },
}


class _Storage:
    """Pickled as torch pickles the numbers of a tensor."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return torch.storage._load_from_bytes, (self.data,)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_small_files_do_not_take_up_a_large_memory(stage: Stage) -> None:
    lines, meant = [], []
    for command, files in FILES.items():
        for number, (what, made) in enumerate(files.items()):
            path = replace(stage.work / f"{len(lines)}-{number}.{'pkl' if 'openai' not in command and 'model' not in command else 'pt'}", made())
            assert path.stat().st_size < 16 * 2**20
            lines.append([word.replace("FILE", str(path)) for word in command.split()])
            meant.append(f"{command}: {what}")
    ended = subprocess.run([sys.executable, "-c", _RUN_EACH, json.dumps([lines, MOST_BYTES])], capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("[")]
    assert len(found) == len(meant)
    wrong = [f"{what}: exit code {code}, {used:,} MB" for what, (code, used) in zip(meant, found, strict=True) if code != 3 or used > ROOM_MB]
    assert not wrong, "\n".join([*wrong, ended.stderr[-3000:]])
    assert ended.stderr.count("Error:") == len(meant)


def test_an_honest_archive_is_mapped_and_an_honest_pickle_is_walked_to_its_end() -> None:
    from clipcap_cli.storage.guards import check_memo

    value = {
        "text": "r\xff\xff\xff\xffpr",
        "numbers": [1, 300, 70_000, 2**40, 2**2000, -1, 0.5, True, None],
        "bytes": b"r" * 300,
        "sets": [{1}, frozenset([2])],
    }
    for protocol in range(6):
        data = pickle.dumps([value, bytearray(b"r" * 9), value, OSError], protocol)
        check_memo(data)
        for bomb in (b"r\xff\xff\xff\xff", b"p4000000000\n", b"p-1\n", b"pr\n"):
            with pytest.raises(ValueError, match=r"memory|invalid literal"):
                check_memo(data[:-1] + bomb + b".")
