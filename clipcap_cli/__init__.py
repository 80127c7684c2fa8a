"""Teach a machine to caption pictures of your own world.

    import clipcap_cli as clipcap

    dataset = clipcap.add_dataset("./food")
    run = clipcap.train("recipes/food.yaml", {"train.epochs": 3})
    for caption in clipcap.load(run.name).caption(["a.jpg", "b.jpg"], beams=5):
        print(caption.text, caption.score)
    clipcap.export(run, "bundle", "food-captioner", self_contained=True)

Each name is loaded when it is first used, so that importing clipcap costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

from clipcap_cli._version import __version__

if TYPE_CHECKING:
    from clipcap_cli.captioner.captioner import Caption, Captioner
    from clipcap_cli.datasets.adding import add_dataset
    from clipcap_cli.datasets.dataset import Dataset, open_dataset
    from clipcap_cli.errors import ClipcapError
    from clipcap_cli.evaluation.evaluate import evaluate
    from clipcap_cli.evaluation.scores import Scores
    from clipcap_cli.exports.exporting import export
    from clipcap_cli.face import embed, load, train
    from clipcap_cli.recipe import Recipe
    from clipcap_cli.training.runs import Run

__all__ = [
    "Caption",
    "Captioner",
    "ClipcapError",
    "Dataset",
    "Recipe",
    "Run",
    "Scores",
    "__version__",
    "add_dataset",
    "embed",
    "evaluate",
    "export",
    "load",
    "open_dataset",
    "train",
]

_HOMES = {
    "Caption": "clipcap_cli.captioner.captioner",
    "Captioner": "clipcap_cli.captioner.captioner",
    "ClipcapError": "clipcap_cli.errors",
    "Dataset": "clipcap_cli.datasets.dataset",
    "Recipe": "clipcap_cli.recipe",
    "Run": "clipcap_cli.training.runs",
    "Scores": "clipcap_cli.evaluation.scores",
    "add_dataset": "clipcap_cli.datasets.adding",
    "embed": "clipcap_cli.face",
    "evaluate": "clipcap_cli.evaluation.evaluate",
    "export": "clipcap_cli.exports.exporting",
    "load": "clipcap_cli.face",
    "open_dataset": "clipcap_cli.datasets.dataset",
    "train": "clipcap_cli.face",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_HOMES[name])
    value = globals()[name] = module if module.__name__ == f"{__name__}.{name}" else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return __all__
