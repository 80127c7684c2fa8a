"""How scores are printed and written: the table of a captioner beside its baselines, CSV, and a line for each picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clipcap_cli.cli.out import out
from clipcap_cli.errors import PartialError
from clipcap_cli.words import count

if TYPE_CHECKING:
    from clipcap_cli.evaluation.language import LanguageStatistics
    from clipcap_cli.evaluation.scores import Scores
    from clipcap_cli.evaluation.versus import Comparison

_LONGEST_SHOWN = 300  # characters of a caption
_CAPTIONS_SHOWN = 3  # most frequent ones


def show_scores(scores: Scores) -> None:
    """The table for people."""
    references = sorted({len(image.captions) for image in scores.images})
    told = count(references[0], "reference") if len(references) == 1 else f"{references[0]} to {references[-1]} references"
    out.text(f"{scores.name} on {scores.data}: {count(len(scores.images), 'picture')}, {told} each")
    out.text()
    systems = scores.baselines
    out.table(
        ("metric", "score", "95 % interval", *(system.name for system in systems)),
        [
            (
                metric.name,
                f"{metric.score:.3f}",
                f"{interval.low:.3f} to {interval.high:.3f}",
                *(f"{system.metric(metric.name).score:.3f}" for system in systems),
            )
            for metric, interval in zip(scores.system.metrics, scores.system.intervals, strict=True)
        ],
        right=("score", *(system.name for system in systems)),
    )
    for system in systems:
        if len(system.captions) < len(scores.images):
            out.text(f"({system.name}: {len(system.captions):,} of the pictures, those with two references or more)")
    if scores.verdict and scores.beats_neighbours:
        low, high = scores.verdict.interval.low, scores.verdict.interval.high
        out.text()
        out.text(f"It beats its nearest neighbours by {scores.verdict.name}: +{scores.verdict.difference:.3f} ({low:.3f} to {high:.3f}).")
    out.text()
    _show_language(scores.language)
    out.text()
    out.text(f"signature: {scores.signature(scores.system.metrics[-1].name)}")


def as_csv_table(scores: Scores) -> str:
    """Rows of system, metric, score, low, high, pictures."""
    rows = [
        (system.name, metric.name, f"{metric.score:.6f}", f"{interval.low:.6f}", f"{interval.high:.6f}", len(system.captions))
        for system in (scores.system, *scores.baselines)
        for metric, interval in zip(system.metrics, system.intervals, strict=True)
    ]
    return _csv(("system", "metric", "score", "low", "high", "pictures"), rows).rstrip("\n")


def write_per_image(path: Path, scores: Scores) -> None:
    """A row for each picture: its caption and the scores of it.

    Raises:
        StoreError: it cannot be written.
    """
    from clipcap_cli.storage.atomic import write_text

    metrics = scores.system.metrics
    rows = [
        (image.name, scores.system.captions[image.name], *(f"{metric.per_image[place]:.6f}" for metric in metrics)) for place, image in enumerate(scores.images)
    ]
    write_text(path, _csv(("image", "caption", *(metric.name for metric in metrics)), rows))


def tell_warnings(scores: Scores) -> None:
    """What to think of before the numbers are believed."""
    for warning in scores.warnings:
        out.warning(warning)
    if scores.verdict and not scores.beats_neighbours:
        verdict = scores.verdict
        how = "it scores less than" if verdict.is_real else "it cannot be told from"
        out.warning(
            f"it does not beat its nearest neighbours: {how} what the captions of the most similar training pictures say ({verdict.name} "
            f"{verdict.second:.3f} against {verdict.first:.3f})"
        )


def tell_left_out(scores: Scores) -> None:
    """Say which pictures were not scored.

    Raises:
        PartialError: there are some.
    """
    if scores.left_out:
        from clipcap_cli.evaluation.predictions import listed

        raise PartialError(f"pictures that were not scored, {listed(scores.left_out)}", hint="The scores above are those of the others.")


def show_comparison(comparison: Comparison, shown: int) -> None:
    """Which differences are real, and the pictures that changed most."""
    from clipcap_cli.evaluation.versus import conclusions

    first, second = comparison.first, comparison.second
    out.text(f"{first.name} and {second.name} on {first.data}: {count(len(first.images), 'picture')}")
    out.text()
    out.table(
        ("metric", first.name, second.name, "difference", "95 % interval", "p", ""),
        [
            (
                difference.name,
                f"{difference.first:.3f}",
                f"{difference.second:.3f}",
                f"{difference.difference:+.3f}",
                f"{difference.interval.low:+.3f} to {difference.interval.high:+.3f}",
                f"{difference.p:.4f}",
                "real" if difference.is_real else "",
            )
            for difference in comparison.differences
        ],
        right=(first.name, second.name, "difference", "p"),
    )
    out.text()
    for told in conclusions(comparison):
        out.text(f"{told}.")
    out.text(f"{comparison.same_captions:,} of {len(first.images):,} captions are the same word for word.")
    if comparison.changes and shown:
        out.text()
        out.text(f"Where they differ most, by {comparison.main}:")
        for change in comparison.changes[:shown]:
            out.text(f"  {change.difference:+.2f}  {change.image}")
            out.text(f"         {first.name}: {_shortened(change.first)}")
            out.text(f"         {second.name}: {_shortened(change.second)}")


def _shortened(caption: str) -> str:
    return caption if len(caption) <= _LONGEST_SHOWN else f"{caption[:_LONGEST_SHOWN]} … ({len(caption):,} characters)"


def _show_language(language: LanguageStatistics) -> None:
    parts = [
        f"{language.mean_words:.1f} words a caption ({language.shortest} to {language.longest})",
        f"{language.vocabulary:,} different words",
        f"{language.distinct_captions:,} different captions",
        f"distinct-1 {language.distinct_1:.3f}, distinct-2 {language.distinct_2:.3f}",
    ]
    shares = (("seen in training word for word", language.seen_in_training), ("with a repeated run", language.repetitive), ("empty", language.empty))
    parts += [f"{share:.0%} {what}" for what, share in (*shares, ("cut at the length limit", language.cut)) if share is not None]
    out.text("; ".join(parts))
    frequent = [(text, times) for text, times in language.most_frequent[:_CAPTIONS_SHOWN] if times > 1]
    if frequent:
        out.text("most frequent: " + "; ".join(f"{text!r} {times:,} times" for text, times in frequent))


def _csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return written.getvalue()
