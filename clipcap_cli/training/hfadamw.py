"""The AdamW that transformers had until 2024, which the published code trains with.

Its epsilon stands outside the root and is not rescaled with the bias correction: at the first step it weighs about 32 times what that of
`torch.optim.AdamW` does.
Source: `AdamW` of transformers 4.x; Loshchilov and Hutter, Decoupled Weight Decay Regularization (arXiv 1711.05101), algorithm 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer


class HFAdamW(Optimizer):
    """For each parameter p with gradient g, at its t-th step: m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
    p -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps); then p -= lr decay p.

    Args:
        params: parameters, or groups of them with settings of their own.
        lr: the rate.
        betas: b1, b2.
        eps: added to the root.
        weight_decay: decay.
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-6, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Make a step with the gradients that are there."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state.update(step=0, exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
                _step(parameter, parameter.grad, state, group)
        return loss


def _step(parameter: torch.Tensor, gradient: torch.Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    first, second = group["betas"]
    state["step"] += 1
    mean, square = state["exp_avg"], state["exp_avg_sq"]
    mean.mul_(first).add_(gradient, alpha=1 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    rate = group["lr"] * (1 - second ** state["step"]) ** 0.5 / (1 - first ** state["step"])
    parameter.addcdiv_(mean, square.sqrt().add_(group["eps"]), value=-rate)
    if group["weight_decay"]:
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
