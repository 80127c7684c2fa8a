"""What an evaluation gives: plain data that can be printed, saved, compared and drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clipcap_cli._version import __version__
from clipcap_cli.datasets.dataset import Image
from clipcap_cli.evaluation.comparison import Difference
from clipcap_cli.evaluation.intervals import Interval
from clipcap_cli.evaluation.language import LanguageStatistics
from clipcap_cli.evaluation.metrics.metric import Metric
from clipcap_cli.recipe import Recipe

_MAIN = "CIDEr-D"


@dataclass(frozen=True)
class System:
    """One way to caption pictures, and how well it does: the captioner itself, or a baseline.

    Attributes:
        name: "food", "nearest neighbours".
        captions: by picture's name.
        metrics: in the same order for all systems of an evaluation.
        intervals: of each metric's score.
    """

    name: str
    captions: Mapping[str, str]
    metrics: tuple[Metric, ...]
    intervals: tuple[Interval, ...]

    def metric(self, name: str) -> Metric:
        """The metric of that name, in any case.

        Raises:
            KeyError: there is none.
        """
        found = {metric.name.lower(): metric for metric in self.metrics}
        if name.lower() not in found:
            raise KeyError(f"{name!r} is not among {', '.join(metric.name for metric in self.metrics)}")
        return found[name.lower()]


def main_metric(system: System) -> str:
    """The metric that decides where one must: CIDEr-D if it was asked for, else the last one."""
    names = [metric.name for metric in system.metrics]
    return _MAIN if _MAIN in names else names[-1]


@dataclass(frozen=True, repr=False)
class Scores:
    """The scores of one captioner, or of a file of captions, on one split.

    `scores["CIDEr-D"]` is a score; `scores.system` and `scores.baselines` have intervals and the scores of single pictures.

    Attributes:
        name: of what was evaluated.
        run: the run that made it; None for a model, a bundle or a file of captions.
        recipe, learned_from: of that run; `learned_from` for people: "food v1".
        dataset, version, split: what on; `dataset` is the file's name where references came from a file, `version` then None.
        images: those that were scored, with their references.
        system: what was evaluated.
        baselines: what it has to beat; that of people may be of fewer pictures (those with two references).
        language: what its captions are like by themselves.
        verdict: how much better than the nearest neighbours it is, by `verdict.name`; None where that is not known.
        settings: what scores depend on, for the signature: {"tok": "ptb", "idf": "eval", "beam": "5"}.
        predictions: the file with its captions, as COCO results.
        left_out: pictures of the split that were not scored.
        warnings: what to think of before these numbers are believed.
    """

    name: str
    run: str | None
    recipe: Recipe | None
    learned_from: str | None
    dataset: str
    version: int | None
    split: str
    images: tuple[Image, ...]
    system: System
    baselines: tuple[System, ...]
    language: LanguageStatistics
    verdict: Difference | None
    settings: Mapping[str, str]
    predictions: Path
    left_out: tuple[str, ...]
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        scored = (f"{metric.name} {metric.score:.3f} ({interval.low:.3f} to {interval.high:.3f})" for metric, interval in _pairs(self.system))
        return f"<Scores of {self.name} on {self.data}, {len(self.images):,} pictures: {', '.join(scored)}>"

    def __getitem__(self, metric: str) -> float:
        return self.system.metric(metric).score

    @property
    def data(self) -> str:
        """For people: "flickr8k v1, split val"."""
        return f"{self.dataset} v{self.version}, split {self.split}" if self.version is not None else self.dataset

    @property
    def beats_neighbours(self) -> bool | None:
        """Whether it is better than its nearest neighbours beyond chance; None where that is not known."""
        return None if self.verdict is None else self.verdict.is_real and self.verdict.difference > 0

    def signature(self, metric: str) -> str:
        """What must be the same for two scores to be compared: "CIDEr-D|data:food-v1-test|n:1000|refs:5|tok:ptb|idf:eval|beam:5|clipcap:0.1.0"."""
        counts = {len(image.captions) for image in self.images}
        references = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)}-{max(counts)}"
        data = self.dataset if self.version is None else f"{self.dataset}-v{self.version}-{self.split}"
        parts = {"data": data, "n": len(self.images), "refs": references, **self.settings, "clipcap": __version__}
        if not metric.startswith("CIDEr"):
            parts.pop("idf", None)
        if not (metric.endswith("CLIPScore") or metric.startswith("R@")):
            parts.pop("clip", None)
        return "|".join([metric, *(f"{key}:{value}" for key, value in parts.items())])

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the scores of single pictures."""
        return {
            "name": self.name,
            "dataset": self.dataset,
            "version": self.version,
            "split": self.split,
            "pictures": len(self.images),
            "references": sum(len(image.captions) for image in self.images),
            "scores": {metric.name: {**_scored(metric, interval), "signature": self.signature(metric.name)} for metric, interval in _pairs(self.system)},
            "baselines": {
                system.name: {"pictures": len(system.captions), "scores": {metric.name: _scored(metric, interval) for metric, interval in _pairs(system)}}
                for system in self.baselines
            },
            "against_nearest_neighbours": None if self.verdict is None else difference_as_dict(self.verdict),
            "language": {**asdict(self.language), "most_frequent": [{"caption": text, "pictures": count} for text, count in self.language.most_frequent]},
            "predictions": str(self.predictions),
            "left_out": list(self.left_out),
            "warnings": list(self.warnings),
        }


def difference_as_dict(difference: Difference) -> dict[str, Any]:
    """Plain JSON values."""
    return {
        "metric": difference.name,
        "first": difference.first,
        "second": difference.second,
        "difference": difference.difference,
        "low": difference.interval.low,
        "high": difference.interval.high,
        "p": difference.p,
        "real": difference.is_real,
    }


def _pairs(system: System) -> zip[tuple[Metric, Interval]]:
    return zip(system.metrics, system.intervals, strict=True)


def _scored(metric: Metric, interval: Interval) -> dict[str, float]:
    return {"score": metric.score, "low": interval.low, "high": interval.high}
