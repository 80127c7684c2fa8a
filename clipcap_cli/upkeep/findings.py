"""What is found when the store is looked through: something that is not as it was written, and what makes it good."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from clipcap_cli.datasets.places import Place

Read = Callable[[int], None]


@dataclass(frozen=True)
class Finding:
    """Something that is not whole.

    Attributes:
        kind, name: of what it belongs to: "runs", "food".
        where: the file.
        what: is wrong, in a sentence.
        remedy: what to type, or to do.
        drop: forgets or removes what is damaged, where it can be made anew; None where only a person can decide that.
        size_bytes: what is gone then.
    """

    kind: str
    name: str
    where: Path | Place
    what: str
    remedy: str
    drop: Callable[[], None] | None = field(default=None, compare=False)
    size_bytes: int = 0


@dataclass
class Looked:
    """What has come together while the store is looked through: how many things, how many embeddings without checksums, and what was found."""

    things: int = 0
    without_checksums: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        self.findings.append(finding)


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files of a folder."""
    if not path.is_dir():
        return _size(path)
    return sum(_size(Path(room, name)) for room, _, files in os.walk(path) for name in files)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:  # it went away meanwhile
        return 0
