"""Drawing captions: each token from the likeliest ones, `top_k` of them at most, and of these the fewest that have `top_p` of the probability together.

Every caption has its own stream of random numbers, so that what is drawn for it does not depend on the others in the batch.
Source: Holtzman et al., The Curious Case of Neural Text Degeneration (arXiv 1904.09751), section 3.1; Fan et al., Hierarchical Neural Story Generation
(arXiv 1805.04833), section 5.4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from clipcap_cli.captioner.decoding.base import Ask, Hypothesis, Steps, check_places, weigh


@torch.no_grad()  # not inference_mode: what a model caches inside must stay usable in training
def sample(
    language_model: Steps, prefix: Tensor, ask: Ask, *, top_p: float, numbers: Sequence[int], seed: int, top_k: int | None = None, samples: int = 1
) -> list[list[Hypothesis]]:
    """Sampled continuations of each prefix.

    Args:
        prefix: [n, prefix_length, lm_width].
        top_p: probability that the tokens drawn from have together, at least.
        numbers: of each picture, its number in the whole call; with `seed` and the number of the sample it fixes what is drawn.
        top_k: how many tokens are drawn from at most; None for no limit.
        samples: continuations of each prefix.

    Returns:
        For each prefix `samples` hypotheses, the best score first. A token counts in it by its whole probability, before the others were cut away.

    Raises:
        InputError: prefix and tokens do not fit into the language model's positions.
    """
    check_places(language_model, prefix.shape[1], ask.max_tokens)
    if not len(prefix):
        return []
    streams = [np.random.default_rng([seed, number, draw]) for number in numbers for draw in range(samples)]
    draws = torch.from_numpy(np.stack([stream.random(ask.max_tokens, np.float32) for stream in streams])).to(prefix.device)
    texts = list(range(len(streams)))  # those still being written
    tokens = torch.empty(len(streams), 0, dtype=torch.long, device=prefix.device)
    made: list[list[int]] = [[] for _ in texts]
    sums = [0.0] * len(texts)
    logits, cache = language_model.step(prefix, None)
    if samples > 1:
        spread = torch.arange(len(prefix), device=prefix.device).repeat_interleave(samples)
        logits, cache = logits[spread], language_model.reorder(cache, spread)
    for place in range(ask.max_tokens):
        logits, log_sum = weigh(logits, tokens, ask)
        log_probs = logits - log_sum
        chosen = _draw(log_probs.exp(), top_p, top_k, draws[texts, place])
        for text, token, log_prob in zip(texts, chosen.tolist(), log_probs.gather(1, chosen[:, None])[:, 0].tolist(), strict=True):
            made[text].append(token)
            sums[text] += log_prob
        tokens = torch.cat([tokens, chosen[:, None]], dim=1)
        going = [row for row, text in enumerate(texts) if made[text][-1] != ask.stop]
        if not going or place == ask.max_tokens - 1:
            break
        if len(going) < len(texts):
            rows = torch.tensor(going, device=prefix.device)
            texts, tokens, cache = [texts[row] for row in going], tokens[rows], language_model.reorder(cache, rows)
        logits, cache = language_model.step(language_model.embed(tokens[:, -1:]), cache)
    found = [Hypothesis(tuple(ids), total / len(ids) ** ask.length_penalty, ids[-1] == ask.stop) for ids, total in zip(made, sums, strict=True)]
    return [sorted(found[first : first + samples], key=lambda hypothesis: -hypothesis.score) for first in range(0, len(found), samples)]


def _draw(probabilities: Tensor, top_p: float, top_k: int | None, draws: Tensor) -> Tensor:
    """One token a row; `draws` [n] are uniform in [0, 1)."""
    ordered, tokens = probabilities.sort(dim=-1, descending=True)
    if top_k is not None:
        ordered, tokens = ordered[:, :top_k], tokens[:, :top_k]
    ordered = ordered / ordered.sum(dim=-1, keepdim=True)  # of what is allowed
    reached = ordered.cumsum(dim=-1)
    outside = reached - ordered >= top_p  # the tokens before it were enough
    outside[:, 0] = False
    outside |= ordered == 0
    reached = reached.masked_fill(outside, 2.0)  # above every draw
    kept = (~outside).sum(dim=-1, keepdim=True)
    place = torch.searchsorted(reached, draws[:, None] * reached.gather(1, kept - 1), right=True)
    return tokens.gather(1, place.minimum(kept - 1))[:, 0]
