"""AdamW with a linear rise and fall of the rate, separate rates for mapper and language model, and no decay of norms and biases."""

from __future__ import annotations

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from clipcap_cli.recipe.schema import TrainPart

_BETAS = (0.9, 0.999)


def make_optimizer(mapper: nn.Module, language_model: nn.Module, settings: TrainPart) -> AdamW:
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
    return AdamW(groups, betas=_BETAS, fused=True)


def make_schedule(optimizer: AdamW, steps: int, warmup: float) -> LambdaLR:
    """The rate's factor: from 0 to 1 over the share `warmup` of the steps, then in a line to 0."""
    rise = max(1, round(steps * warmup))

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return max(0.0, (steps - step) / max(1, steps - rise))

    return LambdaLR(optimizer, factor)
