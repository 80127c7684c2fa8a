"""What the checks look at: plain data, read before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from clipcap_cli.datasets.check.facts import Facts
from clipcap_cli.datasets.check.findings import Finding
from clipcap_cli.datasets.versions import Picture

Caption = tuple[Picture, str]


@dataclass(frozen=True)
class Material:
    """One version of a dataset, read.

    Attributes:
        name: of the dataset.
        source: what it was added from.
        pictures: as the version has them.
        facts: of the file of each, None where there is no file.
        groups: ids of pictures that are nearly the same.
        tokens: how many tokens each text has in the language model's words, if that is known; each text once.
        max_tokens: how many the recipe lets a caption have.
    """

    name: str
    source: str
    pictures: Sequence[Picture]
    facts: Sequence[Facts | None]
    groups: Sequence[Sequence[str]] = ()
    tokens: Mapping[str, int] | None = None
    max_tokens: int | None = None

    @cached_property
    def captions(self) -> list[Caption]:
        """Every caption with its picture."""
        return [(picture, caption) for picture in self.pictures for caption in picture.captions]

    @cached_property
    def looked_at(self) -> list[tuple[Picture, Facts]]:
        """The pictures that have a file, with its facts."""
        return [(picture, facts) for picture, facts in zip(self.pictures, self.facts, strict=True) if facts is not None]

    @cached_property
    def whole(self) -> list[tuple[Picture, Facts]]:
        """Those of them that can be decoded."""
        return [(picture, facts) for picture, facts in self.looked_at if not facts.fault]

    @cached_property
    def by_id(self) -> dict[str, list[Picture]]:
        """The pictures of each id; several files may have the same bytes."""
        found: dict[str, list[Picture]] = {}
        for picture in self.pictures:
            found.setdefault(picture.image_id, []).append(picture)
        return found

    @cached_property
    def by_split(self) -> dict[str, list[Picture]]:
        """The pictures of each split."""
        found: dict[str, list[Picture]] = {}
        for picture in self.pictures:
            if picture.split:
                found.setdefault(picture.split, []).append(picture)
        return found


Check = Callable[[Material], Finding | None]
