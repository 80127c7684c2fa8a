"""What differs between recipes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clipcap_cli.recipe.schema import Recipe

_NAME = "name"  # of the run: says nothing about how it was trained


def recipe_differences(first: Recipe, second: Recipe) -> dict[str, tuple[Any, Any]]:
    """The values of every key in which two recipes differ, but for the run's name: `{"train.lr": (1e-3, 2e-3)}`."""
    ones, others = (dict(_flat(recipe.model_dump(mode="json"))) for recipe in (first, second))
    return {key: (value, others[key]) for key, value in ones.items() if value != others[key] and key != _NAME}


def values_apart(recipes: Sequence[Recipe]) -> list[dict[str, Any]]:
    """Of each of several recipes, the values of all keys in which any two of them differ, but for the run's name."""
    flat = [dict(_flat(recipe.model_dump(mode="json"))) for recipe in recipes]
    keys = [key for key in (flat[0] if flat else {}) if key != _NAME and any(values[key] != flat[0][key] for values in flat)]
    return [{key: values[key] for key in keys} for values in flat]


def values_told(values: Mapping[str, Any]) -> str:
    """`train.lr=1e-05, decode.stop=null`: as they are typed."""
    return ", ".join(f"{key}={value_told(value)}" for key, value in values.items())


def value_told(value: Any) -> str:
    """`1e-05`, `mlp`, `null`, `["a", "b"]`."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value
