"""`clipcap eval`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Any

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.options import command, home, settings
from clipcap_cli.cli.out import out
from clipcap_cli.cli.progress import progress
from clipcap_cli.words import count

app = typer.Typer(add_completion=False, rich_markup_mode=None)

KEPT = "Embeddings that were finished are kept; captions are once all of them are written."

Dataset = Annotated[
    str | None,
    typer.Option("--dataset", metavar="NAME", help="The pictures; else the dataset that the captioner was trained on.", autocompletion=completion.datasets),
]
Split = Annotated[str | None, typer.Option("--split", metavar="NAME", help="Which of them; test if nothing is said.")]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME", help="bleu, rouge-l, cider (these three by default), meteor, spice, clipscore, retrieval; may be repeated."),
]
Beam = Annotated[int | None, typer.Option("--beam", metavar="N", min=1, help="Write captions with a beam search of this width.")]
Decode = Annotated[list[str] | None, typer.Option("--decode", metavar="KEY=VALUE", help="Write captions otherwise, as max_tokens=20; may be repeated.")]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps.")]
Clip = Annotated[str | None, typer.Option("--clip", metavar="SPEC", help="Encoder for clipscore and retrieval; else the captioner's own.")]


@command(
    app,
    "eval",
    examples=(
        "clipcap eval food --split val --metric cider --metric clipscore --clip openai:ViT-L/14 --report food.html",
        "clipcap eval captions.json --dataset food",
    ),
    json="{name, dataset, version, split, pictures, references, scores: {METRIC: {score, low, high, signature}}, baselines: {NAME: {pictures, scores}}, "
    "against_nearest_neighbours: {metric, first, second, difference, low, high, p, real}, language: {…}, predictions, left_out, warnings, report}.",
)
def evaluate(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL|RUN|FILE",
            help="A captioner, or a file of captions: COCO results JSON, JSON lines, CSV; else the model in use, or the newest run's.",
            autocompletion=completion.captioners,
        ),
    ] = None,
    dataset: Dataset = None,
    split: Split = None,
    metrics: Metrics = None,
    beam: Beam = None,
    decode: Decode = None,
    references: Annotated[
        Path | None, typer.Option("--references", metavar="FILE", help="For a file of captions: a file of references, in the place of a dataset.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="For a file of captions: score what it and the split both have.")] = False,
    image_column: Annotated[str | None, typer.Option("--image-column", metavar="NAME", help="For tables: the column of pictures.")] = None,
    caption_column: Annotated[str | None, typer.Option("--caption-column", metavar="NAME", help="For tables: the column of captions.")] = None,
    idf: Annotated[
        str | None, typer.Option("--idf", metavar="FILE|DATASET[:SPLIT]", help="Document frequencies for CIDEr; else those of the evaluated references.")
    ] = None,
    save_idf: Annotated[Path | None, typer.Option("--save-idf", metavar="FILE", help="Keep the document frequencies that --idf names.")] = None,
    clip: Clip = None,
    encoder: Annotated[str | None, typer.Option("--encoder", metavar="SPEC", help="For a file of captions: encoder of the nearest neighbours.")] = None,
    baselines: Annotated[bool, typer.Option("--baselines/--no-baselines", help="Score what a captioner has to beat, too.")] = True,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page with scores, curves and all captions.")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="MODEL|RUN|FILE",
            help="For --report: another one, on the same pictures; may be repeated. Cards show the first one's captions.",
        ),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the table of scores as CSV.")] = False,
    per_image: Annotated[Path | None, typer.Option("--per-image", metavar="FILE.csv", help="Write every picture's caption and scores.")] = None,
    precision: Annotated[str, typer.Option("--precision", metavar="fp32|bf16|auto", help="Of the language model, as for caption.")] = "fp32",
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="Pictures at once.")] = 32,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Where captions are drawn: another seed, other captions.")] = 0,
    device: Device = "auto",
) -> None:
    """Score captions against references, with 95 % intervals and with what a captioner has to beat. Captions are kept: a second metric costs nothing."""
    if out.json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other.")
    if save_idf and not idf:
        raise typer.BadParameter("--save-idf keeps what --idf names.")
    if against and not report:
        raise typer.BadParameter("--against is for --report; `clipcap runs compare` compares two.")
    check_outputs(report, per_image, save_idf)
    from clipcap_cli.cli.scores import as_csv_table, show_scores, tell_left_out, tell_warnings, write_per_image
    from clipcap_cli.datasets.records import ReaderOptions
    from clipcap_cli.evaluation.evaluate import evaluate as evaluated
    from clipcap_cli.evaluation.frequencies import find_frequencies
    from clipcap_cli.evaluation.metrics.cider import write_frequencies

    settings.kept = KEPT
    frequencies = find_frequencies(idf, home()) if idf else None
    if save_idf and frequencies:
        write_frequencies(save_idf, frequencies)
        out.note(f"document frequencies of {frequencies.name} ({count(frequencies.documents, 'picture')}) are in {save_idf}")
    with progress() as events:
        score = functools.partial(
            evaluated,
            dataset=dataset,
            split=split,
            metrics=metrics or (),
            decode=decoding(decode, beam),
            references=references,
            frequencies=frequencies,
            clip=clip,
            encoder=encoder,
            partial=partial,
            columns=ReaderOptions(image_column, caption_column),
            precision=precision,
            batch_size=batch_size,
            seed=seed,
            home=home(),
            device=device,
            events=events,
        )
        scores = score(what, baselines=baselines)
        if report:
            from clipcap_cli.evaluation.report import write_report
            from clipcap_cli.training.runs import open_run

            others = [score(other, baselines=False) for other in against or ()]
            write_report(report, scores, run=open_run(scores.run, home=home()) if scores.run else None, others=others)
    if per_image:
        write_per_image(per_image, scores)
        out.note(f"scores of each picture: {per_image}")
    out.result({**scores.as_dict(), "report": str(report) if report else None})
    if as_csv:
        out.text(as_csv_table(scores))
    else:
        show_scores(scores)
    out.note(f"captions: {scores.predictions}")
    if report:
        out.note(f"report: {report}")
    tell_warnings(scores)
    if not partial:
        tell_left_out(scores)


def decoding(decode: list[str] | None, beam: int | None) -> dict[str, Any]:
    """What --decode and --beam ask for."""
    from clipcap_cli.recipe.reading import parse_values

    return {**parse_values(decode or ()), **({"beams": beam} if beam else {})}


def check_outputs(report: Path | None, per_image: Path | None, save_idf: Path | None) -> None:
    """Whether files can be written there, before an hour's captions are.

    Raises:
        InputError: one is a folder, or the report would take the place of something that is no page.
    """
    from clipcap_cli.errors import InputError

    for path in (report, per_image, save_idf):
        if path is not None and path.is_dir():
            raise InputError("this is a folder, and should be a file", where=str(path), hint=f"Name a file in it, as {path / 'food.html'}.")
    if report is not None and report.exists() and report.suffix.lower() not in (".html", ".htm"):
        raise InputError("this file is there, and no page: it was left as it is", where=str(report), hint="Give the report a name that ends in .html.")
