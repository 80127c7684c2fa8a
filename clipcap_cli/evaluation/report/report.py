"""One evaluation as one HTML file: no server, and no script, style or font from elsewhere.

What is computed here is handed to `page.html.jinja`, which escapes all of it. The page's policy allows its own script and style, by their hashes, and nothing
else.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from clipcap_cli._version import __version__
from clipcap_cli.evaluation.baselines import NEAREST
from clipcap_cli.evaluation.metrics.metric import Floats
from clipcap_cli.evaluation.metrics.tokenizer import tokenize
from clipcap_cli.evaluation.report.cards import best_median_worst, cards
from clipcap_cli.evaluation.report.charts import Chart, Whisker, histogram, whiskers
from clipcap_cli.evaluation.report.curves import read_training, tokens_per_second
from clipcap_cli.evaluation.report.making import facts_of
from clipcap_cli.evaluation.report.tables import Row, language_facts, main_metrics, score_rows
from clipcap_cli.evaluation.report.thumbnails import thumbnails
from clipcap_cli.evaluation.scores import Scores, System
from clipcap_cli.evaluation.versus import Comparison, conclusions, put_side_by_side
from clipcap_cli.recipe import dump_recipe
from clipcap_cli.storage.atomic import write_bytes
from clipcap_cli.training.runs import Run
from clipcap_cli.words import count

_HERE = Path(__file__).parent


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
    # A caption that came from a file of JSON may have half a surrogate in it, which UTF-8 has no bytes for.
    write_bytes(path, _page(scores, run, comparisons).encode(errors="replace"))
    return path


def _page(scores: Scores, run: Run | None, comparisons: Sequence[Comparison]) -> str:
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    style, script = ((_HERE / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    metrics = [metric.name for metric in scores.system.metrics]
    main = main_metrics(scores)
    neighbours = next((system for system in scores.baselines if system.name == NEAREST), None)
    others = [comparison.first for comparison in comparisons]
    rows = score_rows(scores, others)
    pictures, small = cards(scores, neighbours, others[0] if others else None), thumbnails(scores.images)
    lines = list(run.metrics()) if run else []
    data = {"metrics": metrics, "main": metrics.index(main[0]), "cards": pictures}
    return environment.get_template("page.html.jinja").render(
        scores=scores,
        count=count,
        now=datetime.now().astimezone(),
        clipcap=__version__,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
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
        data=_json(data),
        thumbnails=_json(small),
    )


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


def _hash(text: str) -> str:
    """As a content security policy names what it allows."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(value: object) -> Markup:
    """JSON that can stand in a script element: nothing in it ends the element or begins a comment."""
    return htmlsafe_json_dumps(value, ensure_ascii=False, separators=(",", ":"))
