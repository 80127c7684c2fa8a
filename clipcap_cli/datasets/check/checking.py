"""`check_dataset`: everything that can be told about a dataset before anything is learned from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from clipcap_cli.datasets.check import caption_checks, pair_checks, picture_checks, split_checks
from clipcap_cli.datasets.check.facts import Facts
from clipcap_cli.datasets.check.findings import Finding, Report, by_severity
from clipcap_cli.datasets.check.gathering import gather_facts
from clipcap_cli.datasets.check.material import Check, Material
from clipcap_cli.datasets.dataset import Dataset
from clipcap_cli.datasets.duplicates.grouping import Embeddings, Group, near_duplicates
from clipcap_cli.datasets.duplicates.thumbnails import as_array
from clipcap_cli.datasets.versions import Picture
from clipcap_cli.events import Listener, silent
from clipcap_cli.storage.home import Home

CHECKS: tuple[Check, ...] = (*picture_checks.CHECKS, *caption_checks.CHECKS, *pair_checks.CHECKS, *split_checks.CHECKS)

CountTokens = Callable[[Sequence[str]], Sequence[int]]


def check_dataset(
    dataset: Dataset,
    *,
    count_tokens: CountTokens | None = None,
    max_tokens: int | None = None,
    embeddings: Embeddings | None = None,
    reread: bool = False,
    events: Listener = silent,
) -> Report:
    """Look at every picture and every caption of a dataset, and say what is wrong with them. Nothing is changed.

    Args:
        count_tokens: how many tokens the language model makes of each of some texts; without it words are counted.
        max_tokens: how many the recipe lets a caption have.
        embeddings: ids and vectors of pictures by one encoder; with them pictures are also called nearly the same that have nearly the same vector.
        reread: look at every file again; otherwise those with the size and time that they had when they were looked at last are known already.

    Raises:
        StoreError: files of the dataset are missing or damaged.
    """
    pictures = dataset.entries()
    facts = gather_facts(dataset.home, dataset.name, pictures, reread=reread, events=events)
    material = Material(
        name=dataset.name,
        source=str(dataset.source),
        pictures=pictures,
        facts=facts,
        groups=_groups(pictures, facts, embeddings, events),
        tokens=_tokens(pictures, count_tokens) if count_tokens is not None else None,
        max_tokens=max_tokens,
    )
    return Report(dataset.name, dataset.version, len(pictures), dataset.captions, by_severity(run_checks(material)))


def run_checks(material: Material) -> list[Finding]:
    """What each check finds, in the order of the checks."""
    return [finding for check in CHECKS if (finding := check(material)) is not None]


def find_duplicates(home: Home, name: str, pictures: Sequence[Picture], *, embeddings: Embeddings | None = None, events: Listener = silent) -> list[Group]:
    """Groups of ids of pictures that are nearly the same, so that splits keep them together.

    Args:
        name: of the dataset.
        pictures: its, in any version, or in one that is not made yet.
        embeddings: as for `check_dataset`.
    """
    return _groups(pictures, gather_facts(home, name, pictures, events=events), embeddings, events)


def _groups(pictures: Iterable[Picture], facts: Iterable[Facts | None], embeddings: Embeddings | None, events: Listener) -> list[Group]:
    """Pictures whose file has changed are not in any: what they show now is not what is embedded."""
    of_files = zip(pictures, facts, strict=True)
    thumbnails = {picture.image_id: of.thumbnail for picture, of in of_files if of and of.thumbnail and of.image_id == picture.image_id}
    return near_duplicates(list(thumbnails), as_array(list(thumbnails.values())), embeddings, events=events)


def _tokens(pictures: Iterable[Picture], count_tokens: CountTokens) -> dict[str, int]:
    texts = list(dict.fromkeys(caption for picture in pictures for caption in picture.captions))
    return dict(zip(texts, count_tokens(texts), strict=True))
