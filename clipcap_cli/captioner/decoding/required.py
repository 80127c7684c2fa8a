"""Beam search whose captions contain words that were asked for.

Each beam knows how far it is with every word. Beams are kept in turns from all stages of the way, so that those which have not begun do not push out those
which have; none may stop before all is said, or go on so long that the rest would not fit any more. Every caption returned contains every word.
Source: Post and Vilar, Fast Lexically Constrained Decoding with Dynamic Beam Allocation (arXiv 1804.06609), section 3, with the allocation made simpler.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clipcap_cli.captioner.decoding.base import Ask, Hypothesis, Steps, check_places, weigh
from clipcap_cli.captioner.decoding.rules import NEVER
from clipcap_cli.errors import InputError

if TYPE_CHECKING:
    from clipcap_cli.captioner.language_models import LanguageModel

Spelling = tuple[int, ...]
_BEFORE = "a"  # what a word is spelled behind, to find its tokens inside a text


@dataclass(frozen=True)
class Phrase:
    """A word or phrase as tokens: `inside` a text, and at the beginning, where the others do too."""

    inside: tuple[Spelling, ...]
    first: tuple[Spelling, ...] = ()

    @property
    def shortest(self) -> int:
        """Tokens that it takes at least, anywhere."""
        return min(map(len, self.inside))


@dataclass(frozen=True)
class Required:
    """What is asked for; `goes_on` has the tokens that would make a longer word of one that is just complete."""

    phrases: tuple[Phrase, ...]
    goes_on: frozenset[int] = frozenset()


@dataclass(frozen=True)
class _Way:
    """How far a beam is: the phrases it has, those it is in the middle of (phrase, spelling, tokens of it), and whether its last token completed one."""

    met: frozenset[int] = frozenset()
    partial: tuple[tuple[int, Spelling, int], ...] = ()
    complete: bool = False

    def after(self, token: int, required: Required, at_start: bool) -> _Way:
        """The way with one more token."""
        begun = [(number, spelling, 0) for number, phrase in enumerate(required.phrases) for spelling in (*phrase.inside, *(phrase.first if at_start else ()))]
        matched = [(number, spelling, length + 1) for number, spelling, length in (*self.partial, *begun) if spelling[length] == token]
        ended = {number for number, spelling, length in matched if length == len(spelling)}
        met = self.met | ended
        return _Way(met, tuple(part for part in matched if part[0] not in met), bool(ended - self.met))

    def needed(self, required: Required) -> int:
        """Tokens that are enough to say what is missing."""
        missing = {number: phrase.shortest for number, phrase in enumerate(required.phrases) if number not in self.met}
        whole = sum(missing.values())
        return min([whole, *(whole - missing[number] + len(spelling) - length for number, spelling, length in self.partial)])

    def next_tokens(self, required: Required, at_start: bool) -> set[int]:
        """The tokens that begin or go on with something that is missing."""
        begun = (
            spelling[0]
            for number, phrase in enumerate(required.phrases)
            if number not in self.met
            for spelling in (*phrase.inside, *(phrase.first if at_start else ()))
        )
        return {*begun, *(spelling[length] for _, spelling, length in self.partial)}


@dataclass(frozen=True)
class _Beam:
    tokens: tuple[int, ...]
    total: float
    way: _Way
    stopped: bool
    row: int  # of the cache

    def score(self, ask: Ask) -> float:
        return self.total / len(self.tokens) ** ask.length_penalty if self.tokens else 0.0


@torch.no_grad()  # not inference_mode: what a model caches inside must stay usable in training
def required_search(language_model: Steps, prefix: Tensor, ask: Ask, required: Required, *, beams: int) -> list[list[Hypothesis]]:
    """The best continuations of each prefix that contain every phrase.

    Args:
        prefix: [n, prefix_length, lm_width].
        beams: hypotheses of each prefix; the search itself is as wide as the phrases have tokens, if that is more.

    Raises:
        InputError: the phrases do not fit into `max_tokens`, or these not into the language model's positions.
    """
    check_places(language_model, prefix.shape[1], ask.max_tokens)
    least = _Way().needed(required)
    if least > ask.max_tokens:
        raise InputError(
            f"the required words take {least} tokens, and a caption has {ask.max_tokens}", where="decode.max_tokens", hint=f"Set it to {least} or more."
        )
    if not len(prefix):
        return []
    width = max(beams, least + 1)
    found: list[list[_Beam]] = [[] for _ in range(len(prefix))]
    going = {picture: [_Beam((), 0.0, _Way(), False, picture)] for picture in range(len(prefix))}
    logits, cache = language_model.step(prefix, None)
    for made in range(1, ask.max_tokens + 1):
        tokens = torch.tensor([beam.tokens for state in going.values() for beam in state if not beam.stopped], dtype=torch.long, device=prefix.device)
        weighed, log_sum = weigh(logits.clone(), tokens, ask)
        allowed, plain = weighed - log_sum, logits - log_sum
        values, likely = (best.tolist() for best in allowed.topk(min(width, allowed.shape[1])))
        for picture, state in list(going.items()):
            candidates = [beam for beam in state if beam.stopped]
            for beam in state:
                if not beam.stopped:
                    candidates += _continued(beam, values[beam.row], likely[beam.row], plain[beam.row], ask, required, made)
            going[picture] = _kept(candidates, ask, required, width)
            if made == ask.max_tokens or all(beam.stopped for beam in going[picture]):
                found[picture] = going.pop(picture)
        if not going:
            break
        alive = [(picture, place) for picture, state in going.items() for place, beam in enumerate(state) if not beam.stopped]
        rows = torch.tensor([going[picture][place].row for picture, place in alive], device=prefix.device)
        last = torch.tensor([[going[picture][place].tokens[-1]] for picture, place in alive], device=prefix.device)
        for row, (picture, place) in enumerate(alive):
            beam = going[picture][place]
            going[picture][place] = _Beam(beam.tokens, beam.total, beam.way, beam.stopped, row)
        logits, cache = language_model.step(language_model.embed(last), language_model.reorder(cache, rows))
    ranked = (sorted(state, key=lambda beam: -beam.score(ask))[:beams] for state in found)
    return [[Hypothesis(beam.tokens, beam.score(ask), beam.stopped) for beam in state] for state in ranked]


def _continued(beam: _Beam, values: list[float], likely: list[int], plain: Tensor, ask: Ask, required: Required, made: int) -> list[_Beam]:
    """What a beam can go on with: the likeliest tokens, and those that lead to what is missing, rules or not."""
    at_start = made == 1
    log_probs = {token: value for token, value in zip(likely, values, strict=True) if value != NEVER}
    for token in beam.way.next_tokens(required, at_start):
        if token not in log_probs:
            log_probs[token] = plain[token].item()
    following = []
    for token, log_prob in log_probs.items():
        way = beam.way.after(token, required, at_start)
        needed = way.needed(required)
        stops = token == ask.stop
        if needed > ask.max_tokens - made or (stops and needed) or (beam.way.complete and token in required.goes_on):
            continue
        following.append(_Beam((*beam.tokens, token), beam.total + log_prob, way, stops, beam.row))
    return following


def _kept(candidates: list[_Beam], ask: Ask, required: Required, width: int) -> list[_Beam]:
    """The next beams: the best of every stage of the way, then the second best of every stage, and so on."""
    candidates.sort(key=lambda beam: -beam.score(ask))
    seen: Counter[int] = Counter()
    order = []
    for beam in candidates:
        needed = beam.way.needed(required)
        order.append((seen[needed], needed, beam))
        seen[needed] += 1
    order.sort(key=lambda entry: entry[:2])
    return [beam for _, _, beam in order[:width]]


def required_of(phrases: Sequence[str], language_model: LanguageModel) -> Required:
    """The phrases as tokens of a language model, as they are written, in lower case, and with a capital.

    Raises:
        InputError: a phrase has no word in it.
    """
    found = []
    for text in phrases:
        phrase = " ".join(text.split())
        if not re.search(r"\w", phrase):
            raise InputError(f"{text!r} is no word that could be required", where="decode.required", hint="Name words, as in --require ramen.")
        ways = dict.fromkeys((phrase, phrase.lower(), phrase[:1].upper() + phrase[1:]))
        before, *behind = language_model.tokenize([_BEFORE, *(f"{_BEFORE} {way}" for way in ways)])
        inside = [tuple(ids[len(before) :]) for ids in behind if ids[: len(before)] == before]
        first = [tuple(ids) for ids in language_model.tokenize(list(ways))]
        found.append(Phrase(tuple(inside or first), tuple(first)))
    goes_on = frozenset(token for token, piece in enumerate(language_model.pieces) if re.match(r"[\w\ufffd]", piece))
    return Required(tuple(found), goes_on)
