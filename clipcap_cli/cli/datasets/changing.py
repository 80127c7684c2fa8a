"""`clipcap dataset split`, `edit`, `filter`, `restore` and `remove`: each change is a new version, and the one before stays."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clipcap_cli.cli.datasets.group import SUMMARY, Name, Split, app, check_file, show_changed
from clipcap_cli.cli.options import Yes, command, home
from clipcap_cli.cli.out import out, printable
from clipcap_cli.cli.progress import progress
from clipcap_cli.errors import InputError, PartialError, StoreError
from clipcap_cli.words import count

if TYPE_CHECKING:
    from clipcap_cli.datasets.dataset import Dataset
    from clipcap_cli.events import Listener

_CHANGED = f"{SUMMARY}, and before: VERSION."
_SHOWN = 10  # conflicts and the like


@command(
    app,
    "split",
    examples=("clipcap dataset split food --shares 70,15,15 --seed 1", "clipcap dataset split food --group near-duplicates --stratify kind"),
    json=_CHANGED,
)
def split(
    name: Name,
    shares: Annotated[str, typer.Option("--shares", metavar="TRAIN,VAL,TEST", help="Shares of the pictures, in per cent.")] = "80,10,10",
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Another seed, another split.")] = 0,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="WHAT", help="Keep together what has the same folder, the same value of a kept column, or near-duplicates."),
    ] = None,
    stratify: Annotated[
        str | None, typer.Option("--stratify", metavar="WHAT", help="Give each split the same share of every folder, or of every value of a kept column.")
    ] = None,
    anew: Annotated[bool, typer.Option("--anew", help="Give up splits that the source gives, too.")] = False,
) -> None:
    """Split a dataset by a rule, which then holds for pictures that are added later. No picture that has a split by this rule is moved by others."""
    from clipcap_cli.datasets.changes.splitting import split_dataset
    from clipcap_cli.datasets.dataset import open_dataset
    from clipcap_cli.datasets.splits import SplitRule

    dataset = open_dataset(name, home=home())
    rule = SplitRule(_shares(shares), seed, group, stratify)
    with progress() as events:
        result = split_dataset(dataset, rule, anew=anew, events=events)
    show_changed(dataset, result.dataset, f"{count(result.moved, 'picture')} in another split")
    if result.dataset.version == dataset.version and dataset.splits_by == "source" and not anew:
        out.note("The source's own splits are kept; --anew gives them up.")
    empty = [split for split, share in rule.shares.items() if share and not result.dataset.splits().get(split)]
    if empty and (anew or dataset.splits_by != "source"):
        out.warning(f"nothing is in {', '.join(empty)}: there are too few pictures, or too few groups")
    if result.torn:
        out.warning(f"{count(len(result.torn), 'group')} of pictures that belong together {'is' if len(result.torn) == 1 else 'are'} in several splits")
        for names in result.torn[:_SHOWN]:
            out.note(f"  {printable(', '.join(names))}")
        out.hint(f"clipcap dataset split {name} --anew" + (f" --group {group}" if group else ""))


@command(
    app,
    "edit",
    examples=("clipcap dataset edit food --export food.csv", "clipcap dataset edit food --import food.csv"),
    json="with --export {path, captions}; with --import " + _CHANGED,
)
def edit(
    name: Name,
    export: Annotated[Path | None, typer.Option("--export", metavar="FILE", help="Write all captions into a CSV table, to correct them.")] = None,
    read: Annotated[Path | None, typer.Option("--import", metavar="FILE", help="Take over what was corrected.")] = None,
    split: Split = None,
    force: Annotated[bool, typer.Option("--force", help="With --import: where captions were changed here too, the table counts.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="With --export: replace the file if it is there.")] = False,
) -> None:
    """Write captions out for correction by hand or in a spreadsheet, and read them back: an emptied row goes, a new row is a new caption."""
    from clipcap_cli.datasets.changes.editing import read_captions, write_captions
    from clipcap_cli.datasets.dataset import open_dataset

    if (export is None) == (read is None):
        raise typer.BadParameter("take one of --export FILE and --import FILE")
    dataset = open_dataset(name, home=home())
    if export is not None:
        check_file(export, overwrite=overwrite)
        written = write_captions(dataset, export, split=split)
        out.result({"path": str(export), "captions": written})
        out.text(f"{export}: {count(written, 'caption')} of {name} v{dataset.version}")
        out.hint(f"clipcap dataset edit {name} --import {export}")
        return
    assert read is not None
    edited = read_captions(dataset, read, force=force)
    show_changed(dataset, edited.dataset, f"{count(edited.captions, 'picture')} with other captions, {count(edited.splits, 'picture')} in another split")
    failed = []
    for what, lines in (
        ("was changed here too, and stays as it is (--force takes the table's)", edited.conflicts),
        ("is no picture of this dataset", edited.strangers),
        ("would have no caption left, and stays as it is", edited.emptied),
    ):
        failed += [f"{printable(line)}: {what}" for line in lines]
    for line in failed[:_SHOWN]:
        out.warning(line)
    if failed:
        raise PartialError(f"{count(len(failed), 'picture')} of the table {'was' if len(failed) == 1 else 'were'} not taken over", where=str(read))


@command(
    app,
    "filter",
    examples=("clipcap dataset filter food --max-words 40", "clipcap dataset filter food --unlike 'https?://' --split train"),
    json=_CHANGED,
)
def filter_captions(
    name: Name,
    min_words: Annotated[int | None, typer.Option("--min-words", metavar="N", min=1, help="Captions with fewer words go.")] = None,
    max_words: Annotated[int | None, typer.Option("--max-words", metavar="N", min=1, help="Captions with more words go.")] = None,
    match: Annotated[str | None, typer.Option("--match", metavar="REGEX", help="Captions without this go.")] = None,
    unlike: Annotated[str | None, typer.Option("--unlike", metavar="REGEX", help="Captions with this go.")] = None,
    split: Annotated[list[str] | None, typer.Option("--split", metavar="NAME", help="Pictures of other splits go. May be repeated.")] = None,
    problem: Annotated[
        list[str] | None, typer.Option("--problem", metavar="KIND", help="What `dataset check` calls so goes: captions, or whole pictures. May be repeated.")
    ] = None,
    least_similarity: Annotated[
        float | None, typer.Option("--least-similarity", metavar="X", min=-1, max=1, help="Captions go whose cosine with their picture is below this.")
    ] = None,
    encoder: Annotated[str, typer.Option("--encoder", metavar="SPEC", help="With --least-similarity: who compares them.")] = "openai:ViT-B/32",
) -> None:
    """Leave captions and pictures out. A picture goes when none of its captions is left; the version before stays."""
    from clipcap_cli.datasets.changes.filtering import Filter, filter_dataset
    from clipcap_cli.datasets.dataset import open_dataset

    if not any(it is not None for it in (min_words, max_words, match, unlike, split, problem, least_similarity)):
        raise typer.BadParameter("say what is to go: --min-words, --max-words, --match, --unlike, --split, --problem, --least-similarity")
    dataset = open_dataset(name, home=home())
    with progress() as events:
        pictures, captions = _with_problems(dataset, problem, events) if problem else (frozenset[str](), frozenset[tuple[str, str]]())
        similarities = _similarities(dataset, encoder, events) if least_similarity is not None else None
        wanted = Filter(min_words, max_words, match, unlike, tuple(split or ()), pictures, captions, least_similarity)
        filtered = filter_dataset(dataset, wanted, similarities=similarities, events=events)
    show_changed(dataset, filtered.dataset, f"{count(filtered.captions, 'caption')} and {count(filtered.pictures, 'picture')} left out")


@command(app, "restore", examples=("clipcap dataset restore food 2", "clipcap dataset restore food 1 --quiet"), json=_CHANGED)
def restore(name: Name, version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="The version to go back to.")]) -> None:
    """Go back to an older version: it becomes the newest one, and those between stay."""
    from clipcap_cli.datasets.dataset import open_dataset
    from clipcap_cli.datasets.versioning import restore_version

    dataset = open_dataset(name, home=home())
    show_changed(dataset, restore_version(dataset, version), f"what version {version} was")


@command(app, "remove", examples=("clipcap dataset remove food", "clipcap dataset remove food --yes"), json="{removed}.")
def remove(name: Name, yes: Yes = False) -> None:
    """Remove a dataset from the store. The pictures themselves are not touched, nor what was learned from them."""
    from clipcap_cli.datasets.dataset import open_dataset, remove_dataset

    try:
        dataset = open_dataset(name, home=home())
        what = f"{count(dataset.pictures, 'picture')}; those in {dataset.source} are not touched"
    except StoreError as error:
        what = f"it is damaged: {error.message}"
    needed = _runs_of(name)
    if needed:
        listed = f"{', '.join(needed[:_SHOWN])}{' …' if len(needed) > _SHOWN else ''}"
        what += f"; without it nobody can make again or go on with {count(len(needed), 'run')}: {listed}"
    question = f"Remove the dataset {name!r} ({what})?"
    if out.confirm(question, yes=yes, otherwise="nothing was removed"):
        remove_dataset(home(), name)
        out.result({"removed": name})
        out.text(f"The dataset {name} is removed; its pictures are where they were.")


def _runs_of(name: str) -> list[str]:
    """The runs that learned from a dataset, as far as their records can be read."""
    from clipcap_cli.training.runs import list_runs

    found = []
    for run in list_runs(home()):
        with suppress(StoreError):
            found += [run.name] if run.info.dataset == name else []
    return found


def _with_problems(dataset: Dataset, kinds: list[str], events: Listener) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """The pictures, and the captions, that have problems of these kinds; where single captions have one, their pictures stay."""
    from clipcap_cli.datasets.check.checking import check_dataset

    report = check_dataset(dataset, events=events)
    found = [report.find(kind) for kind in kinds]
    for kind, finding in zip(kinds, found, strict=True):
        if finding is None:
            known = ", ".join(it.kind for it in report.findings) or "nothing"
            raise InputError(f"`dataset check` finds no {kind!r} in {dataset.name!r}", where="--problem", hint=f"It finds {known}.")
    pictures = frozenset(name for finding in found if finding and not finding.captions for name in finding.pictures)
    return pictures, frozenset(caption for finding in found if finding for caption in finding.captions)


def _similarities(dataset: Dataset, encoder: str, events: Listener) -> list[list[float]]:
    from clipcap_cli.embeddings.similarity import caption_similarities
    from clipcap_cli.encoders.registry import load_encoder

    return caption_similarities(dataset, load_encoder(encoder, home=home(), events=events), events=events)


def _shares(text: str) -> dict[str, float]:
    """`80,10,10` as shares.

    Raises:
        typer.BadParameter: they are none.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (2, 3) or min(values) < 0 or abs(sum(values) - 100) > 1e-6:
        raise typer.BadParameter(f"{text!r} should be two or three numbers that add up to 100, as 80,10,10", param_hint="--shares")
    return {name: value / 100 for name, value in zip(("train", "val", "test"), values, strict=False)}
