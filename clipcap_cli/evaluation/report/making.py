"""How it was made: everything that one needs to know to make the same again, as far as it was written down."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from clipcap_cli._version import __version__
from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.errors import ClipcapError
from clipcap_cli.evaluation.report.tables import Fact
from clipcap_cli.evaluation.scores import Scores
from clipcap_cli.storage.home import Home
from clipcap_cli.training.runs import Run
from clipcap_cli.words import duration, moment

_UNKNOWN = "not recorded"


def facts_of(scores: Scores, run: Run | None, speed: float | None) -> list[tuple[str, list[Fact]]]:
    """Facts under headings.

    Args:
        run: the training; None where it is not known.
        speed: of the training, in tokens a second.
    """
    found = [("The pictures", _data(scores, run.home if run else None)), ("The captions", _captions(scores))]
    if run is not None:
        found.append(("The training", _training(run, speed)))
    return [*found, ("This report", _machine())]


def _data(scores: Scores, home: Home | None) -> list[Fact]:
    references = sum(len(image.captions) for image in scores.images)
    facts = [Fact("Dataset", scores.data), Fact("Pictures", f"{len(scores.images):,}"), Fact("References", f"{references:,}")]
    if scores.left_out:
        facts.append(Fact("Left out", _listed(scores.left_out), "pictures of the split that were not scored"))
    licence = None
    if home is not None and scores.version is not None:
        try:
            dataset = open_dataset(scores.dataset, home=home, version=scores.version)
            said = dataset.manifest.provenance
            licence, source = said.licence, said.source or str(dataset.source)
            facts += [Fact("Source", source), Fact("Layout", dataset.layout, dataset.reason), Fact("Added", moment(dataset.created))]
        except ClipcapError:
            facts.append(Fact("Source", _UNKNOWN, "the dataset is no longer in the store"))
    return [*facts, Fact("Licence", licence or _UNKNOWN)]


def _captions(scores: Scores) -> list[Fact]:
    settings = ", ".join(f"{key} {value}" for key, value in scores.settings.items())
    return [Fact("Captioner", scores.name), Fact("Settings", settings or _UNKNOWN, "of decoding and scoring"), Fact("Predictions", str(scores.predictions))]


def _training(run: Run, speed: float | None) -> list[Fact]:
    info = run.info
    best = [] if info.best_step is None else [Fact("Best step", f"{info.best_step:,}", f"chosen by {info.select_by}")]
    return [
        Fact("Run", run.name, f"{info.status}{': ' + info.ended_because if info.ended_because else ''}"),
        Fact("Learned from", f"{info.dataset} v{info.dataset_version}"),
        Fact("Encoder", info.encoder),
        Fact("Language model", info.language_model),
        Fact("Started", moment(info.started)),
        Fact("Took", duration(info.minutes * 60), f"{info.steps:,} of {info.planned_steps:,} steps" + (f", {speed:,.0f} tokens a second" if speed else "")),
        *best,
        Fact("Seed", str(run.recipe.seed)),
    ]


def _machine() -> list[Fact]:
    import torch

    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return [
        Fact("clipcap", __version__),
        Fact("Written on", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{gpu}"),
        Fact("With", f"Python {platform.python_version()}, torch {torch.__version__}"),
    ]


def _listed(names: Sequence[str], at_most: int = 20) -> str:
    more = f" and {len(names) - at_most:,} more" if len(names) > at_most else ""
    return f"{len(names):,}: {', '.join(names[:at_most])}{more}"
