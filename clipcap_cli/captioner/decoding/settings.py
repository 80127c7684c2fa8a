"""Changing how captions are written, setting by setting. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from clipcap_cli.errors import InputError
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.storage.names import nearest
from clipcap_cli.words import in_words

# The strategy that a setting brings with it; of several, the last in `_FIRST`.
_FIRST = ("", "sample", "contrastive", "beam")
_STRATEGY_OF = {"top_k": "sample", "top_p": "sample", "samples": "sample", "contrast": "contrastive", "beams": "beam", "required": "beam"}


def change_decoding(decode: Decode, changes: Mapping[str, Any]) -> Decode:
    """`decode` with some settings changed, and checked again.

    A setting that only one strategy knows brings that strategy with it: `beams=5` means beam search, unless a strategy is named too.

    Raises:
        InputError: an unknown setting, or a value out of its range; all of them are named.
    """
    changes = dict(changes)
    if "strategy" not in changes:
        for setting in _STRATEGY_OF.keys() & changes.keys():
            changes["strategy"] = max(_STRATEGY_OF[setting], changes.get("strategy", ""), key=_FIRST.index)
    values = {**decode.model_dump(), **changes}
    for setting, strategy, default in (("samples", "sample", 1), ("required", "beam", ())):
        if setting not in changes and values["strategy"] != strategy:
            values[setting] = default  # it belonged to the strategy that was left
    try:
        return Decode.model_validate(values)
    except ValidationError as error:
        raise InputError(
            "; ".join(_sentence(mistake) for mistake in error.errors()), where="decode", hint="`clipcap caption --help` and docs/recipe.md list the settings."
        ) from error


def _sentence(mistake: Any) -> str:
    key = ".".join(map(str, mistake["loc"]))
    if mistake["type"] == "extra_forbidden":
        meant = nearest(key, Decode.model_fields)
        return f"unknown setting {key!r}" + (f"; did you mean {meant!r}?" if meant else "")
    return f"{key}: {in_words(mistake['msg'])}, not {mistake['input']!r:.60}" if key else in_words(mistake["msg"])
