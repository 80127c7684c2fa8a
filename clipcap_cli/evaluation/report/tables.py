"""The rows of the report's tables: systems by metrics, and what captions are like by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clipcap_cli.evaluation.baselines import HUMAN
from clipcap_cli.evaluation.language import LanguageStatistics
from clipcap_cli.evaluation.scores import Scores, System, main_metric

_DRAWN = ("BLEU-4", "ROUGE-L")  # beside the main metric: what papers report


@dataclass(frozen=True)
class Cell:
    """A score with its interval; `is_best` of its column."""

    score: float
    low: float
    high: float
    is_best: bool


@dataclass(frozen=True)
class Row:
    """A system; `kind` is "subject", "other", "human" or "baseline", and a cell is None where it was not scored by that metric."""

    name: str
    kind: str
    pictures: int
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Fact:
    """A figure with one line of what it means."""

    name: str
    value: str
    meaning: str = ""


def main_metrics(scores: Scores) -> list[str]:
    """Those that are drawn, the one that decides first."""
    names = [metric.name for metric in scores.system.metrics]
    return list(dict.fromkeys([main_metric(scores.system), *(name for name in _DRAWN if name in names)]))


def score_rows(scores: Scores, others: Sequence[Scores]) -> list[Row]:
    """What was evaluated first, then other evaluations, then baselines."""
    systems = [(scores.system, "subject"), *((other.system, "other") for other in others)]
    systems += [(system, "human" if system.name == HUMAN else "baseline") for system in scores.baselines]
    # People are no rival: what is marked is the best that costs no person.
    best = {metric.name: max(_score(system, metric.name) for system, kind in systems if kind != "human") for metric in scores.system.metrics}
    return [Row(system.name, kind, len(system.captions), tuple(_cell(system, name, top) for name, top in best.items())) for system, kind in systems]


def language_facts(language: LanguageStatistics) -> list[Fact]:
    """What captions are like by themselves, in words."""
    facts = [
        Fact("Words in a caption", f"{language.mean_words:.1f}", f"on average; {language.shortest} in the shortest, {language.longest} in the longest"),
        Fact("Different captions", f"{language.distinct_captions:,}", f"of {language.captions:,}; few mean that many pictures get the same"),
        Fact("Different words", f"{language.vocabulary:,}", "the vocabulary that it really uses"),
        Fact("distinct-1", f"{language.distinct_1:.3f}", "different words / all words; higher is more varied, and it falls as captions are added"),
        Fact("distinct-2", f"{language.distinct_2:.3f}", "the same for pairs of neighbouring words"),
        Fact("Repetitive", _share(language.repetitive), "of the captions say a word or a few words twice in a row"),
        Fact("Empty", _share(language.empty), "of the captions have no word at all"),
    ]
    if language.seen_in_training is not None:
        facts.append(Fact("Seen in training", _share(language.seen_in_training), "of the captions are word for word one of the training split"))
    if language.cut is not None:
        facts.append(Fact("Cut", _share(language.cut), "of the captions were ended by the length limit, not by the captioner"))
    return facts


def _share(share: float) -> str:
    return f"{share:.1%}".replace("%", " %").replace(".0 ", " ")


def _score(system: System, name: str) -> float:
    return next((metric.score for metric in system.metrics if metric.name == name), float("-inf"))


def _cell(system: System, name: str, best: float) -> Cell | None:
    for metric, interval in zip(system.metrics, system.intervals, strict=True):
        if metric.name == name:
            return Cell(metric.score, interval.low, interval.high, metric.score == best)
    return None
