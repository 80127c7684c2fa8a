"""Cross entropy of a linear output layer without keeping its logits.

The last layer of a language model is by far its widest: for GPT-2, 50,257 numbers a token. Autograd would keep those logits, their
log-softmax and the gradient of both. Here the gradient is worked out in the forward pass, a block of rows at a time, so that only one block of
logits is ever alive and no pass over them is made twice. Values equal `torch.nn.functional.cross_entropy` of the same logits in fp32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BLOCK_ELEMENTS = 1 << 25  # logits in one block: 128 MiB in fp32
IGNORED = -100  # a target that does not count


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross entropy of `hidden @ weight.T` against `targets`.

    Args:
        hidden: last hidden states at the places that have a target, [tokens, lm_width].
        weight: the output embedding, [vocabulary, lm_width]; no bias.
        targets: token ids, [tokens]; those that are `IGNORED` do not count.
        label_smoothing: share of the probability spread evenly over the vocabulary, 0 to 1.

    Returns:
        A scalar in fp32; nan when no target counts.
    """
    loss: Tensor = _LinearCrossEntropy.apply(hidden, weight, targets, label_smoothing)  # type: ignore[no-untyped-call]
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        vocabulary = len(weight)
        product_dtype = torch.get_autocast_dtype(hidden.device.type) if torch.is_autocast_enabled(hidden.device.type) else hidden.dtype
        with torch.autocast(hidden.device.type, enabled=False):
            states, output = hidden.to(product_dtype), weight.to(product_dtype)
            need_hidden, need_weight = ctx.needs_input_grad[:2]
            grad_hidden = torch.empty_like(states) if need_hidden else None
            grad_weight: Tensor | None = None
            total = torch.zeros((), dtype=torch.float32, device=hidden.device)
            scale = 1 / (targets != IGNORED).sum()
            rows = max(1, BLOCK_ELEMENTS // vocabulary)
            for start in range(0, len(targets), rows):
                block, wanted = states[start : start + rows], targets[start : start + rows, None]
                counts = wanted != IGNORED
                wanted = wanted.clamp_min(0)
                logits = (block @ output.T).float()
                log_norm = logits.logsumexp(1, keepdim=True)
                row_loss = (log_norm - logits.gather(1, wanted)) * (1 - smoothing)
                if smoothing:
                    row_loss += (log_norm - logits.mean(1, keepdim=True)) * smoothing
                total += (row_loss * counts).sum()
                if not (need_hidden or need_weight):
                    continue
                # d loss / d logits = softmax - (smoothed) one-hot, written over the logits
                grad = torch.exp_(logits.sub_(log_norm))
                if smoothing:
                    grad.sub_(smoothing / vocabulary)
                grad.scatter_add_(1, wanted, torch.full_like(wanted, -(1 - smoothing), dtype=grad.dtype))
                grad = grad.mul_(counts * scale).to(product_dtype)
                if grad_hidden is not None:
                    torch.mm(grad, output, out=grad_hidden[start : start + rows])
                if need_weight:
                    part = grad.T @ block
                    grad_weight = part.float() if grad_weight is None else grad_weight.add_(part)
        # Not by save_for_backward: `backward` hands them on as they are, and whoever is the only one to hold a gradient may add to it in place.
        ctx.grads = (None if grad_hidden is None else grad_hidden.to(hidden.dtype), None if grad_weight is None else grad_weight.to(weight.dtype))
        return total * scale

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        if ctx.grads is None:
            raise RuntimeError("the gradient of a linear_cross_entropy was asked for twice")
        (grad_hidden, grad_weight), ctx.grads = ctx.grads, None
        scale = grad_outputs[0]
        return (
            None if grad_hidden is None else grad_hidden.mul_(scale.to(grad_hidden.dtype)),
            None if grad_weight is None else grad_weight.mul_(scale.to(grad_weight.dtype)),
            None,
            None,
        )
