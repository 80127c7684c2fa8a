"""Tar shards as webdataset and img2dataset have them: `SPLIT-00000.tar` with KEY.jpg and KEY.txt, one caption a line."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from clipcap_cli.datasets.writers.written import Put, Written, by_split

_SHARD = 1_000  # pictures


def write_webdataset(name: str, pictures: Sequence[Written], folder: Path, put: Put, done: Callable[[], None]) -> None:
    """Keys are numbers, which have no dot in them. The same pictures make the same bytes."""
    number = 0
    for split, members in by_split(pictures).items():
        waiting = iter(members)
        for shard in range(-(-len(members) // _SHARD)):
            with tarfile.open(folder / f"{split or name}-{shard:05d}.tar", "w") as tar:
                for it in islice(waiting, _SHARD):
                    _add(tar, f"{number:09d}{it.suffix}", it.data)
                    _add(tar, f"{number:09d}.txt", "\n".join(it.picture.captions).encode())
                    number += 1
                    done()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o644
    tar.addfile(member, io.BytesIO(data))
