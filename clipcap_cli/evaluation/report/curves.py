"""How a training went: its figures over the steps as charts, and what its captioner said on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clipcap_cli.evaluation.report.charts import Chart, Line, lines

_POINTS = 120  # of a line; more cannot be told apart at the width of a chart
_SHOWN_VALIDATIONS = 8
_BY_LOSS = "loss"


@dataclass(frozen=True)
class Progress:
    """The captions that one picture got at some validations, as (step, caption)."""

    picture: str
    captions: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Training:
    """What is shown of a training."""

    charts: tuple[Chart, ...]
    progress: tuple[Progress, ...]


def read_training(metrics: Sequence[Mapping[str, Any]]) -> Training:
    """Charts of the lines of metrics.jsonl; what was not written down, or is no number, is left out."""
    validations = [line for line in metrics if "val_loss" in line]
    best = max((line["step"] for line in validations if line.get("best")), default=None)
    train = Line("training", _thinned(_points(metrics, "loss")))
    val = Line("validation", _points(validations, "val_loss"), marked=True, best=best)
    rate = Line("learning rate", _thinned(_points(metrics, "lr")))
    metric = next((str(line["select_by"]) for line in validations if line.get("select_by")), _BY_LOSS)
    score = Line(metric, _points(validations, "score"), marked=True, best=best)
    ringed = "The ring marks the validation whose captioner was kept." if best is not None else ""
    fair = "Validation is measured without noise, dropout and label smoothing."
    charts = []
    if drawn := [line for line in (train, val) if line.points]:
        charts.append(lines("Loss", drawn, x="step", y="nats per token", note=f"{fair} {ringed}" if val.points else ""))
    if metric != _BY_LOSS and score.points:
        charts.append(lines("Score at validations", [score], x="step", y=metric, note=ringed))
    if rate.points:
        charts.append(lines("Learning rate", [rate], x="step", y="rate of the optimiser"))
    return Training(tuple(charts), tuple(_progress(validations)))


def tokens_per_second(metrics: Sequence[Mapping[str, Any]]) -> float | None:
    """The median speed of a training."""
    speeds = sorted(value for _, value in _points(metrics, "tokens_per_s"))
    return speeds[len(speeds) // 2] if speeds else None


def _points(metrics: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """(step, value) of the lines that have one. A training that went astray has infinities, which no axis can show."""
    found = [(line["step"], line[key]) for line in metrics if isinstance(line.get("step"), int) and isinstance(line.get(key), int | float)]
    return [(float(step), float(value)) for step, value in found if math.isfinite(value)]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `_POINTS` of them: neighbours become their mean, at the step of the last."""
    each = -(-len(points) // _POINTS) or 1
    groups = [points[start : start + each] for start in range(0, len(points), each)]
    return [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]


def _progress(validations: Sequence[Mapping[str, Any]]) -> list[Progress]:
    shown = validations if len(validations) <= _SHOWN_VALIDATIONS else _evenly(validations)
    said: dict[str, dict[int, str]] = {}
    for line in shown:
        for sample in line.get("samples") or ():
            said.setdefault(sample["image"], {})[line["step"]] = sample["caption"]
    return [Progress(picture, tuple(captions.items())) for picture, captions in said.items()]


def _evenly(validations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Some of them at equal distances, the first and the last among them."""
    return [validations[round(number * (len(validations) - 1) / (_SHOWN_VALIDATIONS - 1))] for number in range(_SHOWN_VALIDATIONS)]
