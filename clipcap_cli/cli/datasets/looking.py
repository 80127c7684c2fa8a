"""`clipcap dataset list`, `show` and `diff`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.datasets.group import SUMMARY, Reference, app, open_reference, show_counts, show_problems, splits_told, summary
from clipcap_cli.cli.options import command, home
from clipcap_cli.cli.out import out, printable
from clipcap_cli.errors import InputError
from clipcap_cli.words import count, moment

if TYPE_CHECKING:
    from clipcap_cli.datasets.changes.differences import Change, Differences


@command(app, "list", examples=("clipcap dataset list", "clipcap dataset list --json"), json=f"a list of {SUMMARY}.")
def list_datasets() -> None:
    """List all datasets."""
    from clipcap_cli.datasets.dataset import list_datasets as stored

    datasets = stored(home())
    out.result([summary(dataset) for dataset in datasets])
    out.table(
        ("dataset", "version", "pictures", "captions", "splits", "layout", "added"),
        [
            (
                dataset.name,
                f"v{dataset.version}",
                f"{dataset.pictures:,}",
                f"{dataset.captions:,}",
                splits_told(dataset.splits()),
                dataset.layout,
                moment(dataset.created),
            )
            for dataset in datasets
        ],
        right=("pictures", "captions"),
    )
    if not datasets:
        out.note("There are no datasets yet.")
        out.hint("clipcap dataset add FOLDER")


@command(
    app,
    "show",
    examples=("clipcap dataset show food", "clipcap dataset show food@2 --problems"),
    json=f"{SUMMARY}, and samples: [{{image, split, captions}}], problem_list: [{{kind, severity, where, message, remedy}}], "
    "versions: [{version, created, change}], statistics: {caption_words, picture_captions, shorter_sides: {least, median, most, "
    "bins: [{low, high, count}]}, words, vocabulary, top_words: {WORD: COUNT}}.",
)
def show(
    name: Reference,
    samples: Annotated[int, typer.Option("--samples", metavar="N", min=0, help="Pictures whose captions are shown.")] = 5,
    problems: Annotated[bool, typer.Option("--problems", help="Show every problem, not the first of each kind.")] = False,
) -> None:
    """Show a dataset: where it came from, its splits and versions, how long and how large, some captions, and what was left out."""
    from dataclasses import asdict

    from clipcap_cli.cli.charts import charts, has_blocks
    from clipcap_cli.datasets.dataset import list_versions
    from clipcap_cli.datasets.versions import read_statistics

    dataset = open_reference(name)
    statistics = read_statistics(dataset.folder)
    shown = dataset.sample(samples)
    versions = list_versions(dataset)
    out.result(
        {
            **summary(dataset),
            "statistics": statistics.as_json(),
            "samples": [{"image": image.name, "split": image.split, "captions": list(image.captions)} for image in shown],
            "problem_list": [asdict(problem) for problem in dataset.problems()],
            "versions": [{"version": it.version, "created": it.created, "change": it.change or it.made_by} for it in versions],
        }
    )
    show_counts(dataset)
    out.text(f"  layout  {dataset.layout}: {dataset.reason}")
    out.text(f"  added   {moment(dataset.created)}")
    provenance = dataset.manifest.provenance
    for what, told in (("licence", provenance.licence), ("source", provenance.source), ("cite", provenance.citation)):
        if told:
            out.text(f"  {what:<7} {told}")
    if len(versions) > 1:
        out.text()
        out.table(("version", "made", "what"), [(f"v{it.version}", moment(it.created), it.change or "as the source was") for it in versions])
    columns = shutil.get_terminal_size().columns
    out.text()
    for line in charts(statistics, dataset.splits(), dataset.pictures, columns, blocks=has_blocks(sys.stdout)):
        out.text(line)
    show_problems(dataset, every=problems)
    for image in shown:
        out.text(f"\n  {printable(image.name)}" + (f" ({image.split})" if image.split else ""))
        for caption in image.captions:
            out.text(f"    {caption}")
    if 0 < len(shown) < dataset.pictures:
        out.note(f"These are {len(shown)} of {count(dataset.pictures, 'picture')}; --samples N shows more.")


@command(
    app,
    "diff",
    examples=("clipcap dataset diff food", "clipcap dataset diff food@1 food@3"),
    json="{first, second, added: [NAME], removed: [NAME], captions_added: [{image, before, after}], captions_removed, moved, renamed}.",
)
def diff(
    first: Reference,
    second: Annotated[
        str | None,
        typer.Argument(
            metavar="DATASET[@VERSION]", help="The other one; else the first one is held against the version before it.", autocompletion=completion.datasets
        ),
    ] = None,
    show_at_most: Annotated[int, typer.Option("--show", metavar="N", min=0, help="Of each kind, so many are listed.")] = 5,
) -> None:
    """Say what differs between two versions, or two datasets: pictures, captions, splits."""
    from clipcap_cli.datasets.changes.differences import differences
    from clipcap_cli.datasets.dataset import open_dataset

    old = new = open_reference(first)
    if second is not None:
        new = open_reference(second)
    elif new.version == 1:
        hint = f"Name what it is to be held against: clipcap dataset diff {new.name}@1 OTHER, or {new.name}@2 where there is one."
        raise InputError(f"nothing comes before version 1 of {new.name!r}", hint=hint)
    else:
        old = open_dataset(new.name, home=home(), version=new.version - 1)
    found = differences(old, new)
    titles = [f"{dataset.name} v{dataset.version}" for dataset in (old, new)]
    out.result({"first": titles[0], "second": titles[1], **found.as_dict()})
    out.text(f"{titles[0]} ({count(old.pictures, 'picture')}) against {titles[1]} ({count(new.pictures, 'picture')})")
    _show_differences(found, show_at_most)


def _show_differences(found: Differences, at_most: int) -> None:
    if not any(found.as_dict().values()):
        out.text("  they say the same")
    _list("pictures added", found.added, at_most)
    _list("pictures removed", found.removed, at_most)
    _list("captions added", [f"{it.name}: {it.after}" for it in found.captions_added], at_most)
    _list("captions removed", [f"{it.name}: {it.before}" for it in found.captions_removed], at_most)
    _list("in another split", [_moved(it) for it in found.moved], at_most)
    _list("renamed", [_moved(it) for it in found.renamed], at_most)


def _moved(change: Change) -> str:
    return f"{change.name}: {change.before} -> {change.after}"


def _list(what: str, lines: Sequence[str], at_most: int) -> None:
    if not lines:
        return
    out.text(f"\n  {what}: {len(lines):,}")
    for line in lines[:at_most]:
        out.text(f"    {printable(line)}")
    if len(lines) > at_most:
        out.text(f"    and {len(lines) - at_most:,} more")
