"""What the commands of `clipcap dataset` have in common: the group, how a dataset is named, and how it is summed up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clipcap_cli.cli import completion
from clipcap_cli.cli.options import home
from clipcap_cli.cli.out import out
from clipcap_cli.errors import InputError
from clipcap_cli.words import count, sentences

if TYPE_CHECKING:
    from clipcap_cli.datasets.dataset import Dataset
    from clipcap_cli.datasets.records import Problem

app = typer.Typer(help="Add pictures with captions, look at what is there, and mend it.", no_args_is_help=True, add_completion=False, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="DATASET", help="Name of a dataset.", autocompletion=completion.datasets)]
Reference = Annotated[
    str, typer.Argument(metavar="DATASET[@VERSION]", help="Name of a dataset; with @3, its third version.", autocompletion=completion.datasets)
]
Split = Annotated[str | None, typer.Option("--split", metavar="NAME", help="Only this split.")]
SUMMARY = (
    "{name, version, layout, reason, source, created, change, licence, origin, citation, policy, pictures, captions, splits: {name: pictures}, "
    "problems: {kind: count}}"
)


def open_reference(text: str) -> Dataset:
    """The dataset that `NAME` or `NAME@VERSION` means.

    Raises:
        InputError: there is none.
    """
    from clipcap_cli.datasets.dataset import open_dataset

    name, at, version = text.partition("@")
    if at and not version.removeprefix("v").isdecimal():
        raise InputError(f"{text!r} names no version", hint=f"Write {name}@3 for the third version.")
    return open_dataset(name, home=home(), version=int(version.removeprefix("v")) if at else None)


def summary(dataset: Dataset) -> dict[str, Any]:
    """A dataset as JSON, without what has to be read for it."""

    manifest = dataset.manifest
    return {
        "name": dataset.name,
        "version": dataset.version,
        "layout": dataset.layout,
        "reason": dataset.reason,
        "source": str(dataset.source),
        "created": dataset.created,
        "change": dataset.change or None,
        "licence": manifest.provenance.licence,
        "origin": manifest.provenance.source,
        "citation": manifest.provenance.citation,
        "policy": manifest.policy,
        "pictures": dataset.pictures,
        "captions": dataset.captions,
        "splits": dataset.splits(),
        "problems": dict(dataset.problem_counts),
    }


def show_counts(dataset: Dataset) -> None:
    """The first lines about a dataset."""
    out.text(f"{dataset.name} v{dataset.version}: {count(dataset.pictures, 'picture')}, {count(dataset.captions, 'caption')}")
    out.text(f"  from    {dataset.source}")
    out.text(f"  splits  {splits_told(dataset.splits())}")


def check_file(path: Path, *, overwrite: bool) -> None:
    """Whether a file may be written at `path`.

    Raises:
        InputError: something is there that is not to be replaced, or is no plain file.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError("this is no plain file, and is left as it is", where=str(path), hint="Choose another name.")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists and was left as it is", hint="Add --overwrite, or choose another name.")


def show_changed(before: Dataset, after: Dataset, told: str) -> None:
    """What a command has changed; and the way back."""
    out.result({**summary(after), "before": before.version})
    if after.version == before.version:
        out.text(f"{after.name} v{after.version}: nothing to change")
        return
    out.text(f"{after.name} v{after.version}: {told}")
    out.text(f"  {count(after.pictures, 'picture')}, {count(after.captions, 'caption')}; {splits_told(after.splits())}")
    out.note(f"Version {before.version} is as it was: `clipcap dataset restore {before.name} {before.version}` goes back.")


def show_problems(dataset: Dataset, *, every: bool = False) -> None:
    """The problems of a version, or the first of each kind."""
    problems = dataset.problems()
    if not problems:
        return
    show_problem_table(problems, dict(dataset.problem_counts), every=every)
    if not every and len(problems) > len(dataset.problem_counts):
        out.note(f"These are the first of their kinds; all {len(problems):,}: `clipcap dataset show {dataset.name} --problems`.")


def show_problem_table(problems: list[Problem], counts: dict[str, int], *, every: bool = False) -> None:
    """Problems as a table: all, or the first of each kind with how many there are."""
    first = {problem.kind: problem for problem in reversed(problems)}
    out.text()
    out.table(
        ("problem", "count", "where", "what"),
        [
            (problem.kind, "" if every else f"{counts[problem.kind]:,}", problem.where, sentences(problem.message, problem.remedy))
            for problem in (problems if every else [first[kind] for kind in counts])
        ],
        right=("count",),
    )


def splits_told(splits: dict[str, int]) -> str:
    """`train 80, val 10`."""
    return ", ".join(f"{name} {pictures:,}" for name, pictures in splits.items()) or "none"
