"""What a caption must not be: tokens that are made unlikely or impossible by what was written before.

Comes in: logits, and the tokens made so far. Goes out: the same logits, some lowered. Whoever sets no rule pays nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clipcap_cli.errors import InputError

if TYPE_CHECKING:
    from clipcap_cli.captioner.language_models import LanguageModel
    from clipcap_cli.recipe.schema import Decode

NEVER = float("-inf")
_A_LETTER = "x"  # stands for a text whose last character is part of a word


@dataclass(frozen=True)
class Rules:
    """The rules of one call.

    Attributes:
        repetition_penalty: logits of tokens that were made are divided by it, or multiplied where negative (Keskar et al., CTRL, arXiv 1909.05858, 4.1).
        no_repeat_ngram: no run of so many tokens comes twice.
        banned: words and phrases, in lower case.
        pieces: the text of each token, in lower case; only looked at where something is banned.
    """

    repetition_penalty: float = 1.0
    no_repeat_ngram: int | None = None
    banned: tuple[str, ...] = ()
    pieces: Sequence[str] = ()
    _found: dict[str, Tensor] = field(default_factory=dict, repr=False)  # tokens that complete a banned phrase behind a text, by the text

    def reweigh(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """Logits [rows, vocabulary] with the tokens that were made [rows, made] penalised."""
        if self.repetition_penalty == 1.0 or not tokens.shape[1]:
            return logits
        values = logits.gather(1, tokens)
        return logits.scatter(1, tokens, torch.where(values > 0, values / self.repetition_penalty, values * self.repetition_penalty))

    def forbid(self, logits: Tensor, tokens: Tensor) -> None:
        """Make impossible, in place, what may not follow `tokens` [rows, made]."""
        if self.no_repeat_ngram:
            _forbid_repeats(logits, tokens, self.no_repeat_ngram)
        if self.banned:
            for row, ids in enumerate(tokens.tolist()):
                text = "".join(self.pieces[token] for token in ids)
                for phrase in self.banned:
                    for before in _beginnings(phrase, text):
                        logits[row, self._completing(phrase, before).to(logits.device)] = NEVER

    def _completing(self, phrase: str, before: str) -> Tensor:
        """Tokens behind whose text `before` + piece has the phrase as a word."""
        key = f"{phrase}\0{before}"
        if key not in self._found:
            pattern = _as_word(phrase)
            self._found[key] = torch.tensor([token for token, piece in enumerate(self.pieces) if pattern.search(before + piece)], dtype=torch.long)
        return self._found[key]


def rules_of(decode: Decode, language_model: LanguageModel) -> Rules | None:
    """The rules that the settings ask for; None for none.

    Raises:
        InputError: a banned word is none, or is required too.
    """
    if decode.repetition_penalty == 1.0 and decode.no_repeat_ngram is None and not decode.banned:
        return None
    banned = tuple(" ".join(phrase.split()).lower() for phrase in decode.banned)
    for phrase in banned:
        if not re.search(r"\w", phrase):
            raise InputError(f"{phrase!r} is no word that could be banned", where="decode.banned", hint="Name words, as in --ban ramen.")
        for required in decode.required:
            if _as_word(phrase).search(required.lower()):
                raise InputError(f"{required!r} is required and {phrase!r} is banned", where="decode.banned", hint="Take one of the two out.")
    pieces = [piece.lower() for piece in language_model.pieces] if banned else ()
    return Rules(decode.repetition_penalty, decode.no_repeat_ngram, banned, pieces)


def has_word(text: str, phrase: str) -> bool:
    """Whether `text` has the phrase as a word of its own, in upper or lower case."""
    return _as_word(" ".join(phrase.split()).lower()).search(" ".join(text.split()).lower()) is not None


def _as_word(phrase: str) -> re.Pattern[str]:
    """A phrase with no word character around it; a token that ends with it counts, although the next might go on with the word."""
    return re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)")


def _beginnings(phrase: str, text: str) -> list[str]:
    """What of the text's end decides which tokens complete the phrase: nothing or a letter, and every beginning of the phrase that stands there as a word."""
    found = [_A_LETTER if text and re.match(r"\w", text[-1]) else ""]
    for length in range(1, len(phrase) + 1):
        start = len(text) - length
        if text.endswith(phrase[:length]) and (start == 0 or not re.match(r"\w", text[start - 1])):
            found.append(phrase[:length])
    return found


def _forbid_repeats(logits: Tensor, tokens: Tensor, length: int) -> None:
    made = tokens.shape[1]
    if made < length:
        return
    runs = tokens.unfold(1, length, 1)  # [rows, runs, length]
    last = tokens[:, None, made - length + 1 :]  # what a run would begin with now
    again = (runs[:, :, : length - 1] == last).all(dim=2) if length > 1 else torch.ones(runs.shape[:2], dtype=torch.bool, device=tokens.device)
    rows, places = again.nonzero(as_tuple=True)
    logits[rows, runs[rows, places, length - 1]] = NEVER
