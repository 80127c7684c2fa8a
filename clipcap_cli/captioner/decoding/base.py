"""What decoding needs of a language model, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from clipcap_cli.errors import InputError


class Steps(Protocol):
    """The part of a language model that decoding uses; `LanguageModel` is one."""

    @property
    def max_positions(self) -> int | None: ...

    def embed(self, tokens: Tensor) -> Tensor: ...

    def step(self, embeddings: Tensor, cache: Any | None) -> tuple[Tensor, Any]: ...

    def reorder(self, cache: Any, index: Tensor) -> Any: ...


@dataclass(frozen=True)
class Hypothesis:
    """One continuation of a prefix.

    Attributes:
        tokens: ids in order; the stop token, if it was reached, is the last.
        score: sum of their log-probabilities / length ** length_penalty.
        stopped: whether it ended with the stop token.
    """

    tokens: tuple[int, ...]
    score: float
    stopped: bool


def check_places(language_model: Steps, prefix_length: int, max_tokens: int) -> None:
    """Refuse what would not fit into the language model's positions (the last token made needs none).

    Raises:
        InputError: it does not fit.
    """
    places = language_model.max_positions
    if places is not None and prefix_length + max_tokens - 1 > places:
        room = places - prefix_length + 1
        raise InputError(
            f"a prefix of {prefix_length} and {max_tokens} tokens do not fit into the language model's {places} places",
            where="decode.max_tokens",
            hint=f"Set max_tokens to {room} or less." if room > 0 else "Train with a smaller mapper.prefix_length.",
        )
