"""What decoding needs of a language model, what it is asked for, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from clipcap_cli.captioner.decoding.rules import NEVER, Rules
from clipcap_cli.errors import InputError

_ROWS = 8  # of logits at a time: what lies between them and their sum stays in the cache


class Steps(Protocol):
    """The part of a language model that decoding uses; `LanguageModel` is one."""

    @property
    def max_positions(self) -> int | None: ...

    def embed(self, tokens: Tensor) -> Tensor: ...

    def step(self, embeddings: Tensor, cache: Any | None) -> tuple[Tensor, Any]: ...

    def step_hidden(self, embeddings: Tensor, cache: Any | None) -> tuple[Tensor, Tensor, Any]: ...

    def reorder(self, cache: Any, index: Tensor) -> Any: ...


@dataclass(frozen=True)
class Ask:
    """What every way of decoding is asked for.

    Attributes:
        max_tokens: steps at most.
        stop: the token that ends a continuation.
        min_tokens: the stop token cannot be any of the tokens before this one.
        temperature: logits are divided by it.
        length_penalty: scores are sums of log-probabilities / length ** length_penalty.
        rules: what a continuation must not be; None for no rules.
    """

    max_tokens: int
    stop: int
    min_tokens: int = 1
    temperature: float = 1.0
    length_penalty: float = 1.0
    rules: Rules | None = None


@dataclass(frozen=True)
class Hypothesis:
    """One continuation of a prefix.

    Attributes:
        tokens: ids in order; the stop token, if it was reached, is the last.
        score: sum of their log-probabilities / length ** length_penalty. They are the model's, after temperature and repetition penalty; that other tokens were
            forbidden makes none likelier.
        stopped: whether it ended with the stop token.
    """

    tokens: tuple[int, ...]
    score: float
    stopped: bool


def weigh(logits: Tensor, tokens: Tensor, ask: Ask) -> tuple[Tensor, Tensor]:
    """Logits of the next token as they are asked for.

    Args:
        logits: [rows, vocabulary]; may be written over.
        tokens: made so far, [rows, made].

    Returns:
        Logits in which what is forbidden is -inf, and the logarithm of the sum [rows, 1] that makes log-probabilities of them.
    """
    if ask.temperature != 1.0:
        logits = logits / ask.temperature
    if ask.rules is not None:
        logits = ask.rules.reweigh(logits, tokens)
    log_sum = torch.cat([part.logsumexp(dim=-1, keepdim=True) for part in torch.split(logits, _ROWS)])
    if tokens.shape[1] + 1 < ask.min_tokens:
        logits[:, ask.stop] = NEVER
    if ask.rules is not None:
        ask.rules.forbid(logits, tokens)
    return logits, log_sum


def room_behind(language_model: Steps, prefix_length: int) -> int | None:
    """Tokens that fit behind a prefix (the last one made needs no place), 0 at least; None where there is no limit."""
    places = language_model.max_positions
    return None if places is None else max(0, places - prefix_length + 1)


def check_places(language_model: Steps, prefix_length: int, max_tokens: int) -> None:
    """Refuse what would not fit into the language model's positions.

    Raises:
        InputError: it does not fit.
    """
    room = room_behind(language_model, prefix_length)
    if room is not None and max_tokens > room:
        raise InputError(
            f"a prefix of {prefix_length} and {max_tokens} tokens do not fit into the language model's {language_model.max_positions} places",
            where="decode.max_tokens",
            hint=f"Set max_tokens to {room} or less." if room else "Train with a smaller mapper.prefix_length.",
        )
