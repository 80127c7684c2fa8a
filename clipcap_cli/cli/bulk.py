"""`--engine ray` of `clipcap embed`, `clipcap caption` and `clipcap dataset add`: the options that they share, and what they do with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clipcap_cli.cli.options import home, settings
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress
from clipcap_cli.errors import PartialError
from clipcap_cli.words import count

if TYPE_CHECKING:
    from clipcap_cli.cluster.captioning import CaptionedShard
    from clipcap_cli.cluster.engine import Engine
    from clipcap_cli.datasets.dataset import Dataset
    from clipcap_cli.datasets.manifest import Provenance
    from clipcap_cli.datasets.records import ReaderOptions
    from clipcap_cli.embeddings.pipeline import Embedded

EngineOption = Annotated[
    Literal["ray"] | None, typer.Option("--engine", metavar="ray", help="Let a Ray cluster do the work, shard by shard; see docs/cluster.md.")
]
Address = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT", help="With --engine: of the cluster's head; without it, the cores of this machine.")
]
Nodes = Annotated[
    int | None, typer.Option("--nodes", metavar="N", min=1, help="With --engine: how many workers take part; one a node, or one a GPU, if you say nothing.")
]
Staging = Annotated[
    str | None, typer.Option("--staging", metavar="FOLDER|ADDRESS", help="With --engine: where shards lie until they are taken, if nodes do not see the store.")
]
ShardSize = Annotated[int | None, typer.Option("--shard-size", metavar="N", min=1, help="With --engine: pictures of a shard that is no file of its own; 1024.")]

_SHOWN = 5  # shards, and pictures of each, in the warnings


def engine_of(
    engine: str | None, address: str | None, nodes: int | None, staging: str | None, shard_size: int | None, **without: object
) -> Mapping[str, Any] | None:
    """What was said about the engine; None if there is to be none.

    Args:
        without: options that mean nothing to an engine, by name, and whether they were given.

    Raises:
        typer.BadParameter: an option that has no effect.
    """
    asked = {"address": address, "nodes": nodes, "staging": staging, "shard_size": shard_size}
    given = {name: value for name, value in asked.items() if value is not None}
    if engine is None:
        if given:
            raise typer.BadParameter(f"--{next(iter(given)).replace('_', '-')} needs --engine ray.")
        return None
    refused = next((name for name, value in without.items() if value), None)
    if refused:
        raise typer.BadParameter(f"--{refused.strip('_').replace('_', '-')} cannot be had with --engine ray.")
    return given


def embed_with(engine: Mapping[str, Any], dataset: Dataset, encoder: str, device: str) -> tuple[Embedded, str]:
    """Embed a dataset on a cluster; also the encoder's spec."""
    from clipcap_cli.cluster.embedding import embed_on_cluster
    from clipcap_cli.encoders.registry import load_encoder

    with progress() as events:
        loaded = load_encoder(encoder, home=home(), device=device, events=events)
        return embed_on_cluster(dataset, loaded, _engine(engine), device=device, events=events), loaded.spec


def add_with(engine: Mapping[str, Any], source: str, *, name: str | None, options: ReaderOptions, provenance: Provenance, replace_all: bool) -> Dataset:
    """Add a source on a cluster."""
    from clipcap_cli.cluster.adding import add_on_cluster

    settings.kept = "What was read is kept; type the same line to go on."
    with progress() as events:
        return add_on_cluster(source, _engine(engine), home(), name=name, options=options, provenance=provenance, replace_all=replace_all, events=events)


def caption_with(
    engine: Mapping[str, Any],
    sources: Sequence[str],
    output: str | None,
    *,
    model: str | None,
    decode: Mapping[str, Any],
    candidates: int,
    seed: int,
    device: str,
    precision: str,
    image_column: str | None,
) -> None:
    """Caption sources on a cluster, and say what came of it.

    Raises:
        PartialError: some pictures could not be captioned.
    """
    from clipcap_cli.captioner.decoding.settings import change_decoding
    from clipcap_cli.captioner.manifest import read_manifest
    from clipcap_cli.captioner.models import find_captioner
    from clipcap_cli.cluster.captioning import Asked, caption_on_cluster
    from clipcap_cli.datasets.records import ReaderOptions

    if output is None:
        raise typer.BadParameter("--engine ray writes a file for each shard: name their folder with --output.")
    found = find_captioner(model, home())
    out.note(f"caption: {found.kind} {found.name!r} ({found.why})")
    usual = read_manifest(found.path).decode
    candidates = max(candidates, decode.get("samples") or 1)
    if candidates > 1 and decode.get("samples") is None:  # a beam search has as many as it is wide
        decode = {**decode, "strategy": "beam", "beams": max(candidates, decode.get("beams") or usual.beams)}
    changed = change_decoding(usual, {key: value for key, value in decode.items() if value is not None})
    settings.kept = "The shards that were written are complete; type the same line to go on."
    with progress() as events:
        asked = Asked(found.name, found.path, changed, candidates, seed, device, precision)
        shards = caption_on_cluster(sources, output, asked, _engine(engine), home(), options=ReaderOptions(image_column=image_column), events=events)
    _tell_captioned(shards, output)


def _engine(given: Mapping[str, Any]) -> Engine:
    from clipcap_cli.cluster.engine import Engine

    return Engine(**given)


def _tell_captioned(shards: Sequence[CaptionedShard], output: str) -> None:
    pictures, captioned = sum(it.pictures for it in shards), sum(it.captioned for it in shards)
    there = sum(it.was_there for it in shards)
    out.result({"output": output, "pictures": pictures, "captioned": captioned, "failed": pictures - captioned, "shards": [asdict(it) for it in shards]})
    new = sum(it.captioned for it in shards if not it.was_there)
    before = f", and {count(captioned - new, 'caption')} there already" if there else ""
    out.text(f"{count(new, 'picture')} captioned in {output}{before}: {count(len(shards), 'shard')}.")
    bad = [it for it in shards if it.problems]
    for it in bad[:_SHOWN]:
        named = "; ".join(f"{problem.where}: {problem.message}" for problem in it.problems[:_SHOWN]) + (" …" if len(it.problems) > _SHOWN else "")
        out.warning(f"shard {it.shard}: {count(len(it.problems), 'picture')} without a caption ({named})")
    if bad:
        more = f"; the first {_SHOWN} shards of {len(bad):,} are named above" if len(bad) > _SHOWN else ""
        raise PartialError(
            f"{count(pictures - captioned, 'picture')} could not be captioned", hint=f"They are listed by shard in {Path(output).name}/_shards.json{more}."
        )
