"""What is minimised: the mean cross entropy of every caption token, the end token included, given the picture's prefix and the tokens before it.

Source: ClipCap (arXiv 2111.09734), section 3, equation 2; the end token, which the original code leaves out, is what lets a caption end by itself.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.captioner.mappers import Mapper, Preparation
from clipcap_cli.training.batches import Batch
from clipcap_cli.training.cross_entropy import IGNORED, linear_cross_entropy


def computing_in(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Where a loss is computed: "bf16" by autocast (weights stay fp32), or "fp32"."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def caption_loss(
    batch: Batch,
    preparation: Preparation,
    mapper: Mapper,
    language_model: LanguageModel,
    *,
    noise: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Mean loss of a token of `batch`, a scalar in fp32.

    Args:
        batch: already on the device of the models.
        noise: what is added to the prepared embeddings, [captions, embedding_size] (CapDec, arXiv 2211.00575, section 3).
    """
    embeddings = preparation(batch.embeddings)
    if noise is not None:
        embeddings = embeddings + noise.to(embeddings)
    prefix = mapper(embeddings)  # [captions, prefix_length, lm_width]
    inputs = torch.cat([prefix, language_model.embed(batch.tokens).to(prefix.dtype)], dim=1)
    hidden = language_model.hidden(inputs).flatten(0, 1)[batch.places]  # [targets, lm_width]: logits are made only where there is a target
    weight = language_model.output_weight
    if weight is not None:
        return linear_cross_entropy(hidden, weight, batch.targets, label_smoothing)
    logits = language_model.logits(hidden).float()
    return F.cross_entropy(logits, batch.targets, ignore_index=IGNORED, label_smoothing=label_smoothing)
