"""`clipcap embed`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipcap_cli.cli import bulk, completion
from clipcap_cli.cli.options import command, home, settings
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress
from clipcap_cli.errors import PartialError
from clipcap_cli.words import count, duration

if TYPE_CHECKING:
    from clipcap_cli.datasets.dataset import Dataset
    from clipcap_cli.datasets.records import Problem
    from clipcap_cli.embeddings.pipeline import Embedded
    from clipcap_cli.encoders.base import ImageEncoder

_NAMED = 20  # pictures in the warnings

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(
    app,
    "embed",
    examples=(
        "clipcap embed food --encoder efficientnet-lite0 --workers 2",
        "clipcap embed coco --import oscar_split_ViT-B_32_train.pkl --encoder openai:ViT-B/32",
    ),
    json="{dataset, encoder, new, reused, failed, seconds, problems: [{kind, severity, where, message, remedy}]}; with --import, unmatched: [picture] too.",
)
def embed(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Name of a dataset.", autocompletion=completion.datasets)],
    encoder: Annotated[str, typer.Option("--encoder", metavar="SPEC", help="openai:MODEL, hf:ID_OR_FOLDER or efficientnet-lite0.")] = "openai:ViT-B/32",
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="Pictures that go through the encoder at once.")] = 32,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", min=1, help="How many read and decode pictures; as many as there are cores.")] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", metavar="FILE", help="Take the embeddings of a data pickle of the original code; nothing in it is run.")
    ] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="With --import: compare some with what the encoder makes, if it is at hand.")] = True,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    devices: Annotated[
        str | None, typer.Option("--devices", metavar="N|auto|LIST", help="Several devices, each with a copy: how many, auto for all, or cuda:0,cuda:1.")
    ] = None,
    engine: bulk.EngineOption = None,
    address: bulk.Address = None,
    nodes: bulk.Nodes = None,
    staging: bulk.Staging = None,
    shard_size: bulk.ShardSize = None,
) -> None:
    """Turn a dataset's pictures into vectors. What is there already is not made again; `clipcap train` does it by itself."""
    from clipcap_cli.datasets.checking import require_whole
    from clipcap_cli.datasets.dataset import open_dataset
    from clipcap_cli.encoders.registry import check_spec

    work = bulk.engine_of(engine, address, nodes, staging, shard_size, import_=import_, devices=devices)
    dataset = open_dataset(name, home=home())
    require_whole(dataset.folder)
    check_spec(encoder)

    from clipcap_cli.embeddings.pipeline import embed_dataset
    from clipcap_cli.encoders.devices import choose_devices
    from clipcap_cli.encoders.registry import load_encoders

    settings.kept = "What was embedded is kept; type the same line to go on."
    if work is not None:
        embedded, spec = bulk.embed_with({**work, "batch_size": batch_size, "threads": workers}, dataset, encoder, device)
        _tell_embedded(name, spec, embedded)
        return
    with progress() as events:
        copies = load_encoders(encoder, choose_devices(devices, device=device), home=home(), events=events)
        loaded = copies[0]
        if import_ is not None:
            _import(dataset, import_, loaded, check)
            return
        embedded = embed_dataset(dataset, copies, batch_size=batch_size, workers=workers, events=events)
    _tell_embedded(name, loaded.spec, embedded)


def _tell_embedded(name: str, spec: str, embedded: Embedded) -> None:
    out.result(
        {
            "dataset": name,
            "encoder": spec,
            "new": embedded.new,
            "reused": embedded.reused,
            "failed": len(embedded.problems),
            "seconds": round(embedded.seconds, 3),
            "problems": [asdict(problem) for problem in embedded.problems],
        }
    )
    rate = f" in {duration(embedded.seconds)} ({embedded.new / embedded.seconds:.0f}/s)" if embedded.new else ""
    out.text(f"{name} with {spec}: {count(embedded.new, 'picture')} embedded{rate}, {embedded.reused:,} were there.")
    if embedded.limit:
        out.note(embedded.limit)
    _tell(embedded.problems)


def _import(dataset: Dataset, path: Path, encoder: ImageEncoder, check: bool) -> None:
    from clipcap_cli.embeddings.original import import_embeddings

    imported = import_embeddings(dataset, path, encoder, check=check)
    problems = [asdict(problem) for problem in imported.problems]
    counts = {"new": imported.new, "reused": imported.reused, "failed": len(problems)}
    out.result({"dataset": dataset.name, "encoder": encoder.spec, **counts, "unmatched": list(imported.unmatched), "problems": problems})
    out.text(f"{dataset.name} with {encoder.spec}: {count(imported.new, 'embedding')} taken from {path.name}, {imported.reused:,} were there.")
    if imported.unmatched:
        named = ", ".join(imported.unmatched[:_NAMED]) + (" …" if len(imported.unmatched) > _NAMED else "")
        out.warning(f"{count(len(imported.unmatched), 'picture')} of {dataset.name} are not in {path.name}: {named}")
    _tell(imported.problems)


def _tell(problems: Sequence[Problem]) -> None:
    """Name what failed.

    Raises:
        PartialError: something did.
    """
    alike = {problem.message for problem in problems}
    if len(alike) == 1 and len(problems) > 1:  # one line says it for all
        named = ", ".join(problem.where for problem in problems[:_NAMED]) + (" …" if len(problems) > _NAMED else "")
        out.warning(f"{named}: {problems[0].message}")
    else:
        for problem in problems[:_NAMED]:
            out.warning(f"{problem.where}: {problem.message}")
    if problems:
        remedy = problems[0].remedy
        more = f"The first {_NAMED} are named above" if len(problems) > _NAMED else "They are named above"
        raise PartialError(f"{count(len(problems), 'picture')} could not be embedded", hint=remedy or f"{more}; the others are in the store.")
