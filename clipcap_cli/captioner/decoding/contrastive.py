"""Contrastive search: the next token is likely, and its hidden state unlike those before it, so that captions do not go in circles.

Source: Su et al., A Contrastive Framework for Neural Text Generation (arXiv 2202.06417), section 3.2, equation 5.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipcap_cli.captioner.decoding.base import Ask, Hypothesis, Steps, check_places, weigh


@torch.no_grad()  # not inference_mode: what a model caches inside must stay usable in training
def contrastive_search(language_model: Steps, prefix: Tensor, ask: Ask, *, top_k: int, contrast: float) -> list[list[Hypothesis]]:
    """One continuation of each prefix.

    Args:
        prefix: [n, prefix_length, lm_width].
        top_k: tokens that are compared at each place.
        contrast: weight of being unlike; 0 is the greedy choice.

    Returns:
        For each prefix a list of one hypothesis.

    Raises:
        InputError: prefix and tokens do not fit into the language model's positions.
    """
    check_places(language_model, prefix.shape[1], ask.max_tokens)
    made: list[list[int]] = [[] for _ in range(len(prefix))]
    sums = [0.0] * len(prefix)
    if not len(prefix):
        return []
    pictures = torch.arange(len(prefix), device=prefix.device)  # those still being written
    tokens = torch.empty(len(prefix), 0, dtype=torch.long, device=prefix.device)
    logits, states, cache = language_model.step_hidden(prefix, None)
    states = F.normalize(states, dim=-1)  # of every place so far, [pictures, places, width]
    for place in range(ask.max_tokens):
        logits, log_sum = weigh(logits, tokens, ask)
        values, candidates = logits.topk(min(top_k, logits.shape[1]))  # [pictures, candidates]
        log_probs = values - log_sum
        count, width = candidates.shape
        rows = torch.arange(count, device=prefix.device).repeat_interleave(width)
        logits, hidden, cache = language_model.step_hidden(language_model.embed(candidates.flatten()[:, None]), language_model.reorder(cache, rows))
        hidden = F.normalize(hidden[:, -1], dim=-1).view(count, width, -1)
        likeness = torch.einsum("ncw,npw->ncp", hidden, states).amax(dim=-1)
        best = ((1 - contrast) * log_probs.exp() - contrast * likeness).masked_fill(values.isneginf(), float("-inf")).argmax(dim=-1, keepdim=True)
        chosen = candidates.gather(1, best)
        for picture, token, log_prob in zip(pictures.tolist(), chosen[:, 0].tolist(), log_probs.gather(1, best)[:, 0].tolist(), strict=True):
            made[picture].append(token)
            sums[picture] += log_prob
        going = (chosen[:, 0] != ask.stop).nonzero()[:, 0]
        if not len(going) or place == ask.max_tokens - 1:
            break
        kept = (going * width) + best[going, 0]
        pictures, tokens = pictures[going], torch.cat([tokens, chosen], dim=1)[going]
        states = torch.cat([states[going], hidden.flatten(0, 1)[kept][:, None]], dim=1)
        logits, cache = logits[kept], language_model.reorder(cache, kept)
    return [[Hypothesis(tuple(ids), total / len(ids) ** ask.length_penalty, ids[-1] == ask.stop)] for ids, total in zip(made, sums, strict=True)]
