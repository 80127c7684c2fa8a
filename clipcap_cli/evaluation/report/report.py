"""One evaluation as one HTML file: no server, and no script, style or font from elsewhere.

What is computed here is handed to `page.html.jinja`, which escapes all of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from clipcap_cli.datasets.pages.page import write_page
from clipcap_cli.datasets.pages.thumbnails import thumbnails
from clipcap_cli.evaluation.baselines import NEAREST
from clipcap_cli.evaluation.metrics.metric import Floats
from clipcap_cli.evaluation.metrics.tokenizer import tokenize
from clipcap_cli.evaluation.report.cards import best_median_worst, cards
from clipcap_cli.evaluation.report.charts import Chart, Whisker, histogram, whiskers
from clipcap_cli.evaluation.report.curves import read_training, tokens_per_second
from clipcap_cli.evaluation.report.making import facts_of
from clipcap_cli.evaluation.report.tables import Row, language_facts, main_metrics, score_rows
from clipcap_cli.evaluation.scores import Scores, System
from clipcap_cli.evaluation.versus import conclusions, put_side_by_side
from clipcap_cli.recipe import dump_recipe
from clipcap_cli.training.runs import Run


def write_report(path: Path, scores: Scores, *, run: Run | None = None, others: Sequence[Scores] = ()) -> Path:
    """Write the report of an evaluation.

    Args:
        path: of the file; one that is there is replaced.
        scores: the evaluation.
        run: the training that made the captioner; None where there is none.
        others: evaluations of the same pictures, to compare with; each card also shows the caption of the first.

    Returns:
        `path`.

    Raises:
        InputError: one of `others` is of other pictures, or was scored by other metrics.
        StoreError: the file cannot be written.
    """
    comparisons = [put_side_by_side(other, scores) for other in others]
    metrics = [metric.name for metric in scores.system.metrics]
    main = main_metrics(scores)
    neighbours = next((system for system in scores.baselines if system.name == NEAREST), None)
    others = [comparison.first for comparison in comparisons]
    rows = score_rows(scores, others)
    pictures, small = cards(scores, neighbours, others[0] if others else None), thumbnails(scores.images)
    lines = list(run.metrics()) if run else []
    data = {"metrics": metrics, "main": metrics.index(main[0]), "cards": pictures}
    write_page(
        path,
        Path(__file__).parent,
        scores=scores,
        metrics=metrics,
        main=main[0],
        main_index=data["main"],
        other=others[0].name if others else None,
        references=sum(len(image.captions) for image in scores.images),
        rows=rows,
        score_charts=[_score_chart(name, metrics.index(name), rows) for name in main],
        comparisons=[(comparison, ". ".join(conclusions(comparison))) for comparison in comparisons],
        training=read_training(lines),
        groups=[(title, [(pictures[row], small[row]) for row in chosen]) for title, chosen in best_median_worst(scores.system.metric(main[0]))],
        histograms=_histograms(scores, neighbours, main[0]),
        language=language_facts(scores.language),
        repeated=[(caption, times) for caption, times in scores.language.most_frequent if times > 1],
        making=facts_of(scores, run, tokens_per_second(lines)),
        recipe=dump_recipe(run.recipe) if run else None,
        data=data,
        thumbnails=small,
    )
    return path


def _score_chart(name: str, column: int, rows: Sequence[Row]) -> Chart:
    cells = [(row, row.cells[column]) for row in rows]
    return whiskers(name, [Whisker(row.name, cell.score, cell.low, cell.high, row.kind) for row, cell in cells if cell is not None])


def _histograms(scores: Scores, neighbours: System | None, main: str) -> list[Chart]:
    lengths = [len(text.split()) for text in tokenize([scores.system.captions[image.name] for image in scores.images])]
    told = [len(text.split()) for text in tokenize([text for image in scores.images for text in image.captions])]
    own, theirs = (_known(system.metric(main).per_image) if system else [] for system in (scores.system, neighbours))
    return [
        histogram("Words in a caption", ("captions", lengths), ("references", told), x="words", whole=True),
        histogram(f"{main} of single pictures", (scores.name, own), (NEAREST, theirs), x=main, whole=False),
    ]


def _known(values: Floats) -> list[float]:
    return [value for value in values.tolist() if math.isfinite(value)]
