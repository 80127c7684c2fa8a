"""dataset.json: what is said of a dataset as a whole, in all its versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from clipcap_cli.datasets.records import NO_OPTIONS, ReaderOptions, no_tags
from clipcap_cli.datasets.splits import SplitRule
from clipcap_cli.datasets.versions import DATASET_FILE, FORMAT, damaged, read_json
from clipcap_cli.storage.atomic import write_json

Policy = Literal["in-place", "link", "copy"]  # what becomes of the pictures' files
POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True)
class Provenance:
    """Where pictures and captions come from, in the user's words: licence, source (a title, an address), citation."""

    licence: str | None = None
    source: str | None = None
    citation: str | None = None

    def updated(self, other: Provenance) -> Provenance:
        """What `other` says, and what it does not say as before."""
        return Provenance(other.licence or self.licence, other.source or self.source, other.citation or self.citation)


UNKNOWN = Provenance()


@dataclass(frozen=True)
class Manifest:
    """dataset.json.

    Attributes:
        source: the folder, file or address that it is added from; "" for what was made of other datasets.
        policy: what becomes of the pictures' files.
        current: the version that is meant where none is named.
        options: what the user said about the source, which holds when it is added again.
        columns: of a table, which column is what.
        split_rule: how pictures that come later get their split; None for the usual rule.
        keeps_source_splits: whether the source's word about splits counts.
    """

    name: str
    source: str
    policy: Policy
    current: int
    provenance: Provenance = field(default_factory=Provenance)
    options: ReaderOptions = NO_OPTIONS
    columns: Mapping[str, str] = field(default_factory=no_tags)
    split_rule: SplitRule | None = None
    keeps_source_splits: bool = True


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the dataset in `folder`.

    Raises:
        StoreError: it is missing, damaged, or of a newer format.
    """
    path = folder / DATASET_FILE
    facts = read_json(path)
    current, policy = facts.get("current"), facts.get("policy", "in-place")
    if not isinstance(current, int) or current < 1:
        raise damaged(path, "it does not say which version is the current one")
    if policy not in POLICIES:
        raise damaged(path, f"it has the policy {policy!r}")
    try:
        options, rule = facts.get("options") or {}, facts.get("split_rule")
        return Manifest(
            name=folder.name,
            source=str(facts.get("source", "")),
            policy=policy,
            current=current,
            provenance=Provenance(*(_text(facts.get(key)) for key in ("licence", "origin", "citation"))),
            options=ReaderOptions(
                image_column=_text(options.get("image_column")),
                caption_column=_text(options.get("caption_column")),
                images=Path(options["images"]) if options.get("images") else None,
                tag_columns=tuple(map(str, options.get("tag_columns", ()))),
                caption_from_folder=_text(options.get("caption_from_folder")),
            ),
            columns={str(key): str(value) for key, value in (facts.get("columns") or {}).items()},
            split_rule=SplitRule.from_json(rule) if rule else None,
            keeps_source_splits=bool(facts.get("keeps_source_splits", True)),
        )
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise damaged(path, f"it is not as it was written ({error})") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write dataset.json into `folder`.

    Raises:
        StoreError: it cannot be written.
    """
    options = manifest.options
    told = {
        "image_column": options.image_column,
        "caption_column": options.caption_column,
        "images": str(options.images) if options.images else None,
        "tag_columns": list(options.tag_columns),
        "caption_from_folder": options.caption_from_folder,
    }
    facts: dict[str, Any] = {
        "format": FORMAT,
        "name": manifest.name,
        "source": manifest.source,
        "policy": manifest.policy,
        "current": manifest.current,
        "licence": manifest.provenance.licence,
        "origin": manifest.provenance.source,
        "citation": manifest.provenance.citation,
        "options": {key: value for key, value in told.items() if value},
        "columns": dict(manifest.columns),
        "split_rule": manifest.split_rule.as_json() if manifest.split_rule else None,
        "keeps_source_splits": manifest.keeps_source_splits,
    }
    write_json(folder / DATASET_FILE, {key: value for key, value in facts.items() if value not in (None, {})})


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value or None
