"""`clipcap embed`."""

from __future__ import annotations

from typing import Annotated

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.options import command, home, settings
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress
from clipcap_cli.cli.words import count, duration

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(
    app,
    "embed",
    examples=("clipcap embed food", "clipcap embed food --encoder efficientnet-lite0 --workers 2"),
    json="{dataset, encoder, new, reused, failed, seconds, problems: [{kind, severity, where, message, remedy}]}.",
)
def embed(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Name of a dataset.", autocompletion=completion.datasets)],
    encoder: Annotated[str, typer.Option("--encoder", metavar="SPEC", help="openai:MODEL, hf:ID_OR_FOLDER or efficientnet-lite0.")] = "openai:ViT-B/32",
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="Pictures that go through the encoder at once.")] = 32,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", min=1, help="How many read and decode pictures; as many as there are cores.")] = None,
    device: Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    """Turn a dataset's pictures into vectors. What is there already is not made again; `clipcap train` does it by itself."""
    from dataclasses import asdict

    from clipcap_cli.datasets.dataset import open_dataset
    from clipcap_cli.encoders.registry import check_spec

    dataset = open_dataset(name, home=home())
    check_spec(encoder)

    from clipcap_cli.embeddings.pipeline import embed_dataset
    from clipcap_cli.encoders.registry import load_encoder
    from clipcap_cli.errors import PartialError

    settings.kept = "What was embedded is kept; type the same line to go on."
    with progress() as events:
        loaded = load_encoder(encoder, home=home(), device=device, events=events)
        embedded = embed_dataset(dataset, loaded, batch_size=batch_size, workers=workers, events=events)
    failed = len(embedded.problems)
    out.result(
        {
            "dataset": name,
            "encoder": loaded.spec,
            "new": embedded.new,
            "reused": embedded.reused,
            "failed": failed,
            "seconds": round(embedded.seconds, 3),
            "problems": [asdict(problem) for problem in embedded.problems],
        }
    )
    rate = f" in {duration(embedded.seconds)} ({embedded.new / embedded.seconds:.0f}/s)" if embedded.new else ""
    out.text(f"{name} with {loaded.spec}: {count(embedded.new, 'picture')} embedded{rate}, {embedded.reused:,} were there.")
    for problem in embedded.problems:
        out.warning(f"{problem.where}: {problem.message}")
    if failed:
        raise PartialError(f"{count(failed, 'picture')} could not be embedded", hint="They are named above; the others are in the store.")
