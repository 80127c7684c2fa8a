"""Beam search over a batch of pictures.

A beam that has made the stop token stays among the others with its score and length frozen, and can still be pushed out; a picture is finished when all its
beams have stopped, and then leaves the batch. Width 1 is the greedy choice.
Source: the search of the published predictor, there for one picture and without a cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clipcap_cli.captioner.decoding.base import Ask, Hypothesis, Steps, check_places, weigh
from clipcap_cli.captioner.decoding.rules import NEVER


@dataclass(frozen=True)
class _Beams:
    """The beams of the pictures that are still being written, best first: [pictures, width, …]."""

    tokens: Tensor  # [pictures, width, tokens made]
    sums: Tensor  # of log-probabilities
    lengths: Tensor  # tokens up to the stop token
    stopped: Tensor
    rows: Tensor  # of the cache; of stopped beams without meaning

    def of(self, pictures: Tensor) -> _Beams:
        """The beams of some pictures, given as a mask."""
        return _Beams(self.tokens[pictures], self.sums[pictures], self.lengths[pictures], self.stopped[pictures], self.rows[pictures])


@torch.no_grad()  # not inference_mode: what a model caches inside must stay usable in training
def beam_search(language_model: Steps, prefix: Tensor, ask: Ask, *, beams: int) -> list[list[Hypothesis]]:
    """The best continuations of each prefix.

    Args:
        prefix: [n, prefix_length, lm_width].
        beams: width of the search.

    Returns:
        For each prefix up to `beams` hypotheses, best first (fewer where the vocabulary has not as many, or rules leave not as many).

    Raises:
        InputError: prefix and tokens do not fit into the language model's positions.
    """
    check_places(language_model, prefix.shape[1], ask.max_tokens)
    found: list[list[Hypothesis]] = [[] for _ in range(len(prefix))]
    if not len(prefix):
        return found
    pictures = torch.arange(len(prefix), device=prefix.device)
    state = _Beams(
        tokens=torch.empty(len(prefix), 1, 0, dtype=torch.long, device=prefix.device),
        sums=torch.zeros(len(prefix), 1, device=prefix.device),
        lengths=torch.zeros(len(prefix), 1, dtype=torch.long, device=prefix.device),
        stopped=torch.zeros(len(prefix), 1, dtype=torch.bool, device=prefix.device),
        rows=pictures[:, None],
    )
    logits, cache = language_model.step(prefix, None)
    for made in range(1, ask.max_tokens + 1):
        state = _advance(state, logits, beams, ask)
        finished = state.stopped.all(dim=1) if made < ask.max_tokens else torch.ones_like(pictures, dtype=torch.bool)
        if finished.any():
            for row in finished.nonzero()[:, 0].tolist():
                found[int(pictures[row])] = _hypotheses(state, row, ask)
            if finished.all():
                break
            pictures, state = pictures[~finished], state.of(~finished)
        going = ~state.stopped  # a stopped beam needs no more logits
        rows = state.rows[going]
        if not _unchanged(rows, len(logits)):
            cache = language_model.reorder(cache, rows)
        state.rows[going] = torch.arange(len(rows), device=rows.device)
        logits, cache = language_model.step(language_model.embed(state.tokens[:, :, -1][going][:, None]), cache)
    return found


def _advance(state: _Beams, logits: Tensor, beams: int, ask: Ask) -> _Beams:
    """The next beams; `logits` [beams that go on, vocabulary] are in the order of the beams."""
    count, width = state.sums.shape
    going = ~state.stopped
    logits, log_sum = weigh(logits, state.tokens[going], ask)
    # The best continuations of all beams together are among the best of each.
    kept = min(beams, logits.shape[-1])
    values, likely = logits.topk(kept)
    # A stopped beam has one continuation, which changes nothing: token 0 at no cost, cut off in the end.
    log_probs = torch.full((count, width, kept), NEVER, device=logits.device)
    log_probs[:, :, 0] = 0.0
    log_probs[going] = values - log_sum
    tokens = torch.zeros((count, width, kept), dtype=torch.long, device=logits.device)
    tokens[going] = likely

    lengths = state.lengths + going
    sums = state.sums[:, :, None] + log_probs
    ranks = sums / lengths[:, :, None] ** ask.length_penalty
    chosen = ranks.flatten(1).topk(min(beams, width * kept)).indices
    source = chosen // kept
    token = tokens.flatten(1).gather(1, chosen)
    sums = sums.flatten(1).gather(1, chosen)
    return _Beams(
        tokens=torch.cat([state.tokens.gather(1, source[:, :, None].expand(-1, -1, state.tokens.shape[2])), token[:, :, None]], dim=2),
        sums=sums,
        lengths=lengths.gather(1, source),
        # An impossible beam (there were not as many possible ones) holds nothing up.
        stopped=state.stopped.gather(1, source) | (token == ask.stop) | (sums == NEVER),
        rows=state.rows.gather(1, source),
    )


def _hypotheses(state: _Beams, row: int, ask: Ask) -> list[Hypothesis]:
    tokens, sums, lengths, stopped = (values[row].tolist() for values in (state.tokens, state.sums, state.lengths, state.stopped))
    return [
        Hypothesis(tuple(ids[:length]), total / length**ask.length_penalty, ended)
        for ids, total, length, ended in zip(tokens, sums, lengths, stopped, strict=True)
        if total != NEVER
    ]


def _unchanged(rows: Tensor, count: int) -> bool:
    return len(rows) == count and torch.equal(rows, torch.arange(count, device=rows.device))
