"""What a check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from clipcap_cli.datasets.records import Severity

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
_EXAMPLES, _EXAMPLE_LENGTH = 5, 160


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of thing that was found.

    Attributes:
        kind: its name: long-caption, …
        severity: error for what breaks a training or is left out of one, warning for what harms it, info for what one should know.
        count: how many of what the message counts.
        message: a sentence for people, that begins with the count.
        examples: some names of pictures, or captions with the name of their picture.
        remedy: what mends it, a command where there is one.
        pictures: the names of all pictures concerned.
        captions: where single captions are concerned, all of them: name of the picture, caption.
    """

    kind: str
    severity: Severity
    count: int
    message: str
    examples: tuple[str, ...] = ()
    remedy: str = ""
    pictures: tuple[str, ...] = field(default=(), repr=False)
    captions: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Report:
    """What the check of one version of a dataset found; the gravest first."""

    dataset: str
    version: int
    pictures: int
    captions: int
    findings: tuple[Finding, ...]

    @property
    def counts(self) -> dict[Severity, int]:
        """How many kinds of things were found, by severity."""
        return {severity: sum(finding.severity == severity for finding in self.findings) for severity in SEVERITIES}

    def find(self, kind: str) -> Finding | None:
        """What was found of one kind."""
        return next((finding for finding in self.findings if finding.kind == kind), None)

    def as_json(self) -> dict[str, Any]:
        """For json.dumps. Captions concerned are told by their pictures."""
        findings = [{name: value for name, value in asdict(finding).items() if name != "captions"} for finding in self.findings]
        return {**{name: getattr(self, name) for name in ("dataset", "version", "pictures", "captions")}, "counts": self.counts, "findings": findings}


def by_severity(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest first, otherwise in the order given."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def shown(examples: Iterable[str]) -> tuple[str, ...]:
    """The first few of many examples, each once, and none too long to be read."""
    first = islice(dict.fromkeys(examples), _EXAMPLES)
    return tuple(example if len(example) <= _EXAMPLE_LENGTH else f"{example[: _EXAMPLE_LENGTH - 1]}…" for example in first)
