"""What a source is read as, for tests of readers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from clipcap_cli.datasets.detection import detect
from clipcap_cli.datasets.records import NO_OPTIONS, Evidence, Problem, ReaderOptions


@dataclass(frozen=True)
class Reading:
    """Captions and splits by the picture's path beneath the folder."""

    evidence: Evidence
    captions: dict[str, tuple[str, ...]]
    splits: dict[str, str | None]
    problems: list[Problem]

    @property
    def kinds(self) -> dict[str, int]:
        """Problems by kind."""
        return dict(Counter(problem.kind for problem in self.problems))

    def said(self, kind: str) -> list[str]:
        """Place and message of each problem of one kind."""
        return [f"{problem.where}: {problem.message}" for problem in self.problems if problem.kind == kind]


def read_source(source: Path, options: ReaderOptions = NO_OPTIONS) -> Reading:
    """Find out the layout of a source and read all of it."""
    reader, evidence = detect(source, options)
    problems: list[Problem] = []
    root = options.images or (source if source.is_dir() else source.parent)
    records = {record.image.relative_to(root).as_posix(): record for record in reader.read(source, options, problems.append)}
    captions = {name: record.captions for name, record in records.items()}
    return Reading(evidence, captions, {name: record.split for name, record in records.items()}, problems)
