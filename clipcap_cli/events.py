"""What long work tells whoever listens. Knows no screen.

A long function takes `events: Listener = silent` and calls it with one of a few small records. A task is named by a verb ("embed", "train"); between its
`Started` and its `Finished` come any number of `Advanced`. A `Note` says once what was decided and why, a `Validated` what a training has come to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Started:
    """A task begins; `total` counts `unit`s, None where the length is unknown; `done` of them were done before, by an earlier process."""

    task: str
    total: int | None
    unit: str
    done: int = 0


@dataclass(frozen=True)
class Advanced:
    """`amount` more units are done; `values` are what is worth watching now (loss, rate)."""

    task: str
    amount: int = 1
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """The task is over, whether or not it reached its total."""

    task: str


@dataclass(frozen=True)
class Note:
    """One line for people. `level` "warning" is for what they may want to mend."""

    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Validated:
    """A training has looked at how good it is.

    Attributes:
        values: what was found, first the one by which the best is chosen: {"cider": 0.81, "validation loss": 2.3}.
        best: none before was better or as good.
        samples: newest captions of the same few pictures, by picture.
    """

    step: int
    values: Mapping[str, float]
    best: bool
    samples: Mapping[str, str]


Event = Started | Advanced | Finished | Note | Validated
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """The listener that does not listen."""
