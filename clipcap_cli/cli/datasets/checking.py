"""`clipcap dataset check` and `preview`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.datasets.group import Name, Reference, Split, app, check_file, open_reference, show_changed
from clipcap_cli.cli.options import command, home
from clipcap_cli.cli.out import out, printable
from clipcap_cli.cli.progress import progress
from clipcap_cli.errors import InputError, PartialError
from clipcap_cli.words import count

if TYPE_CHECKING:
    from clipcap_cli.datasets.check.checking import CountTokens
    from clipcap_cli.datasets.check.findings import Report
    from clipcap_cli.datasets.dataset import Dataset
    from clipcap_cli.datasets.duplicates.grouping import Embeddings

Encoder = Annotated[
    str | None,
    typer.Option("--encoder", metavar="SPEC", help="Whose embeddings, which `clipcap embed` made, tell near-duplicates too."),
]


@command(
    app,
    "check",
    examples=("clipcap dataset check food", "clipcap dataset check food --recipe recipes/food.yaml --fix"),
    json="{dataset, version, pictures, captions, counts: {error, warning, info}, "
    "findings: [{kind, severity, count, message, examples, remedy, pictures: [NAME]}]}; with --fix also fixed: {KIND: COUNT}.",
)
def check(
    name: Name,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", metavar="RECIPE", help="Count captions in the tokens of this recipe's language model.", autocompletion=completion.recipes),
    ] = None,
    encoder: Encoder = None,
    fix: Annotated[bool, typer.Option("--fix", help="Mend first what can be mended safely, in a new version; the source is not touched.")] = False,
    reread: Annotated[bool, typer.Option("--reread", help="Look at every file again, those too that seem untouched since the last check.")] = False,
    show_at_most: Annotated[int, typer.Option("--show", metavar="N", min=0, help="Examples of each finding.")] = 3,
) -> None:
    """Look at every picture and caption, and say what is wrong with them, and what mends it. Ends with 5 where there are errors."""
    from clipcap_cli.datasets.check.checking import check_dataset
    from clipcap_cli.datasets.check.fixing import fix_dataset
    from clipcap_cli.datasets.dataset import open_dataset

    before = dataset = open_dataset(name, home=home())
    with progress() as events:
        fixed = fix_dataset(dataset, events=events) if fix else None
        dataset = fixed.dataset if fixed else dataset
        count_tokens, max_tokens = _tokens_of(recipe) if recipe else (None, None)
        embeddings = _embeddings(dataset, encoder) if encoder else None
        report = check_dataset(dataset, count_tokens=count_tokens, max_tokens=max_tokens, embeddings=embeddings, reread=reread, events=events)
    out.result({**report.as_json(), **({"fixed": dict(fixed.counts)} if fixed else {})})
    if fixed and not out.json:
        show_changed(before, fixed.dataset, ", ".join(f"{kind} {many:,}" for kind, many in fixed.counts.items()) + " mended")
        out.text()
    _show(report, show_at_most)
    if report.counts["error"]:
        raise PartialError(f"{count(report.counts['error'], 'error')} in {name!r}", hint="Each says what mends it.")


@command(
    app,
    "preview",
    examples=("clipcap dataset preview food", "clipcap dataset preview food@2 --split val --output val.html"),
    json="{path, pictures, shown, unreadable}.",
)
def preview(
    name: Reference,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="The page; NAME.html if you say nothing.")] = None,
    split: Split = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Pictures on the page; of more, an even sample is taken.")] = None,
    checked: Annotated[bool, typer.Option("--check/--no-check", help="Look the dataset through first, so that pictures can be chosen by problem.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> None:
    """Write one HTML file with the pictures and their captions: to be searched, and filtered by split and problem."""
    from clipcap_cli.datasets.check.checking import check_dataset
    from clipcap_cli.datasets.preview.preview import LIMIT, write_preview

    dataset = open_reference(name)
    path = output or Path(f"{dataset.name}.html")
    check_file(path, overwrite=overwrite)
    with progress() as events:
        problems = {finding.kind: finding.pictures for finding in check_dataset(dataset, events=events).findings} if checked else None
        made = write_preview(dataset, path, problems=problems, split=split, limit=limit or LIMIT, events=events)
    out.result({"path": str(path), "pictures": made.pictures, "shown": made.shown, "unreadable": made.unreadable})
    of = f" of {made.pictures:,}" if made.shown < made.pictures else ""
    out.text(f"{path}: {made.shown:,}{of} pictures" + (f", {made.unreadable:,} of which cannot be shown" if made.unreadable else ""))


def _show(report: Report, at_most: int) -> None:
    counts = ", ".join(count(many, severity) for severity, many in report.counts.items() if severity != "info" and many)
    out.text(f"{report.dataset} v{report.version}: {count(report.pictures, 'picture')}, {count(report.captions, 'caption')}; {counts or 'nothing is wrong'}")
    for finding in report.findings:
        out.text(f"\n{finding.severity:<7}  {finding.kind}: {printable(finding.message)}")
        for example in finding.examples[:at_most]:
            out.text(f"           {printable(example)}")
        if finding.remedy:
            out.text(f"         > {printable(finding.remedy)}")


def _tokens_of(recipe: str) -> tuple[CountTokens, int]:
    """How many tokens the recipe's language model makes of texts, and how many a caption of its may have."""
    from clipcap_cli.recipe import load_recipe

    loaded = load_recipe(recipe)
    from clipcap_cli.captioner.lm_loading import load_language_model

    language_model = load_language_model(loaded.language_model.name, home=home())
    return lambda texts: [len(tokens) for tokens in language_model.tokenize(texts)], loaded.decode.max_tokens


def _embeddings(dataset: Dataset, spec: str) -> Embeddings:
    from clipcap_cli.embeddings.store import open_store
    from clipcap_cli.encoders.registry import load_encoder

    store = open_store(home(), load_encoder(spec, home=home()))
    ids = dataset.image_ids()
    there = sorted({image_id.decode() for image_id in ids[store.places(ids) >= 0]})
    if not there:
        raise InputError(f"{dataset.name!r} has no embeddings by {spec}", where="--encoder", hint=f"clipcap embed {dataset.name} --encoder {spec}")
    return there, store.gather(there)
