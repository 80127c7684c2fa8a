"""What differs between two recipes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from clipcap_cli.recipe.schema import Recipe

_NAME = "name"  # of the run: says nothing about how it was trained


def recipe_differences(first: Recipe, second: Recipe) -> dict[str, tuple[Any, Any]]:
    """The values of every key in which two recipes differ, but for the run's name: `{"train.lr": (1e-3, 2e-3)}`."""
    ones, others = (dict(_flat(recipe.model_dump(mode="json"))) for recipe in (first, second))
    return {key: (value, others[key]) for key, value in ones.items() if value != others[key] and key != _NAME}


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value
