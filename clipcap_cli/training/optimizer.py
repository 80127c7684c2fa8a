"""What makes the steps: AdamW or the one of old transformers, a linear rise and fall of the rate, separate rates for mapper and language model, and no decay of
norms and biases."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from clipcap_cli.recipe.schema import TrainPart
from clipcap_cli.training.hfadamw import HFAdamW

_BETAS = (0.9, 0.999)


def make_optimizer(mapper: nn.Module, language_model: nn.Module, settings: TrainPart) -> Optimizer:
    """The optimiser of everything that has gradients switched on."""
    groups = []
    for module, rate in ((mapper, settings.lr), (language_model, settings.lm_lr or settings.lr)):
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        for members, decay in (
            ([parameter for parameter in trained if parameter.ndim > 1], settings.weight_decay),
            ([parameter for parameter in trained if parameter.ndim <= 1], 0.0),
        ):
            if members:
                groups.append({"params": members, "lr": rate, "weight_decay": decay})
    return HFAdamW(groups, betas=_BETAS) if settings.optimizer == "hfadamw" else AdamW(groups, betas=_BETAS, fused=True)


def make_schedule(optimizer: Optimizer, steps: int, settings: TrainPart) -> LambdaLR:
    """The rate's factor: in a line from 0 to 1 over the first steps, then to 0. With the original objective the very first step has rate 0, as there."""
    rise = round(steps * settings.warmup) if settings.warmup_steps is None else settings.warmup_steps
    first = 0 if settings.objective == "original" else 1

    def factor(step: int) -> float:
        if step < rise:
            return (step + first) / rise
        return max(0.0, (steps - step) / max(1, steps - rise))

    return LambdaLR(optimizer, factor)
