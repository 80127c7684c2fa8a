"""Nucleus sampling over a batch of pictures: each token is drawn from the fewest that have `top_p` of the probability together.

Every picture has its own stream of random numbers, so that what is drawn for it does not depend on the others in the batch.
Source: Holtzman et al., The Curious Case of Neural Text Degeneration (arXiv 1904.09751), section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from clipcap_cli.captioner.decoding.base import Hypothesis, Steps, check_places


@torch.no_grad()  # not inference_mode: what a model caches inside must stay usable in training
def nucleus_sampling(
    language_model: Steps,
    prefix: Tensor,
    *,
    top_p: float,
    max_tokens: int,
    min_tokens: int,
    stop: int,
    numbers: Sequence[int],
    seed: int,
    temperature: float = 1.0,
    length_penalty: float = 1.0,
) -> list[list[Hypothesis]]:
    """One sampled continuation of each prefix.

    Args:
        prefix: [n, prefix_length, lm_width].
        top_p: probability that the tokens drawn from have together, at least.
        max_tokens: steps at most.
        min_tokens: the stop token cannot be any of the tokens before this one.
        stop: the token that ends a continuation.
        numbers: of each picture, its number in the whole call; with `seed` it fixes what is drawn.
        temperature: logits are divided by it.
        length_penalty: of the score, which counts each token by its whole probability, before the nucleus is cut out.

    Returns:
        For each prefix a list of one hypothesis.

    Raises:
        InputError: prefix and tokens do not fit into the language model's positions.
    """
    check_places(language_model, prefix.shape[1], max_tokens)
    if not len(prefix):
        return []
    draws = torch.from_numpy(np.stack([np.random.default_rng([seed, number]).random(max_tokens, np.float32) for number in numbers])).to(prefix.device)
    tokens: list[list[int]] = [[] for _ in range(len(prefix))]
    sums = [0.0] * len(prefix)
    pictures = list(range(len(prefix)))  # those still being written
    never = torch.tensor([stop], device=prefix.device)
    logits, cache = language_model.step(prefix, None)
    for made in range(1, max_tokens + 1):
        if made < min_tokens:
            logits = logits.index_fill(1, never, float("-inf"))
        log_probs = (logits / temperature).log_softmax(dim=-1)
        chosen = _draw(log_probs.exp(), top_p, draws[pictures, made - 1])
        for picture, token, log_prob in zip(pictures, chosen.tolist(), log_probs.gather(1, chosen[:, None])[:, 0].tolist(), strict=True):
            tokens[picture].append(token)
            sums[picture] += log_prob
        going = [row for row, picture in enumerate(pictures) if tokens[picture][-1] != stop]
        if not going or made == max_tokens:
            break
        if len(going) < len(pictures):
            rows = torch.tensor(going, device=prefix.device)
            pictures, chosen, cache = [pictures[row] for row in going], chosen[rows], language_model.reorder(cache, rows)
        logits, cache = language_model.step(language_model.embed(chosen[:, None]), cache)
    return [[Hypothesis(tuple(ids), total / len(ids) ** length_penalty, ids[-1] == stop)] for ids, total in zip(tokens, sums, strict=True)]


def _draw(probabilities: Tensor, top_p: float, draws: Tensor) -> Tensor:
    """One token a row; `draws` [n] are uniform in [0, 1)."""
    ordered, tokens = probabilities.sort(dim=-1, descending=True)
    reached = ordered.cumsum(dim=-1)
    outside = reached - ordered >= top_p  # the tokens before it were enough
    outside[:, 0] = False
    reached = reached.masked_fill(outside, 2.0)  # above every draw
    kept = (~outside).sum(dim=-1, keepdim=True)
    place = torch.searchsorted(reached, draws[:, None] * reached.gather(1, kept - 1), right=True)
    return tokens.gather(1, place.minimum(kept - 1))[:, 0]
