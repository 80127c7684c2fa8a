"""What a training is about to do, told before it begins."""

from __future__ import annotations

import torch

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.recipe import Recipe
from clipcap_cli.training.material import Material
from clipcap_cli.training.validation import BY_LOSS, Validation

_FEW = 100  # pictures; docs/results.md has what choosing by CIDEr of thirty cost


def plan(material: Material, captioner: Captioner, steps: int, validation: Validation | None) -> list[str]:
    """Lines for people: what is learned from, what is learned, for how long, how the best is chosen, and what seems unwise."""
    recipe, samples, val = material.recipe, material.samples, material.val

    def size(module: torch.nn.Module, trained: bool = False) -> str:
        return f"{sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad or not trained) / 1e6:.1f}M"

    adapters = f"frozen, with adapters of {size(captioner.language_model, trained=True)} weights"
    of = "" if recipe.dataset.texts else f" of {len(samples.embeddings):,} pictures"
    preset = f" (preset {recipe.mapper.preset})" if recipe.mapper.preset else ""
    lines = [
        f"dataset {material.source}: {len(samples):,} captions{of}, {samples.mean_tokens:.1f} tokens each; "
        + (f"{len(val):,} captions to validate on" if val else "nothing to validate on"),
        f"mapper {recipe.mapper.kind}{preset}, {size(captioner.mapper)} weights; {recipe.language_model.name}, {size(captioner.language_model)} weights, "
        + {"full": "tuned", "lora": adapters, "frozen": "frozen"}[recipe.language_model.tune],
        f"plan: {steps:,} steps of {recipe.train.batch_size * recipe.train.accumulate} captions, {_epochs(recipe, len(samples), steps)}, "
        f"a validation every {recipe.train.validate_every:,} steps",
    ]
    if recipe.init is not None:
        normalized = captioner.preparation.normalize
        lines.insert(1, f"starts from {recipe.init}: its weights, and embeddings as there ({'' if normalized else 'not '}normalised)")
    if recipe.train.max_minutes is not None:
        lines[-1] += f", {recipe.train.max_minutes:g} minutes at most"
    lines.append(_choice(recipe, validation))
    if recipe.train.objective == "original" and recipe.decode.stop is None:
        lines.append('the original objective teaches no end token: captions will run on to the longest; decode.stop="." ends them as the published code does')
    if recipe.dataset.texts and not (recipe.encoder.noise and recipe.encoder.normalize):
        lines.append("texts and pictures lie apart: without encoder.normalize and encoder.noise (0.13 to begin with), pictures will not be understood")
    if samples.cut:
        lines.append(f"{samples.cut:,} captions are longer than what can be learned and lose their end")
    return lines


def _choice(recipe: Recipe, validation: Validation | None) -> str:
    """How the best is chosen, and what that costs at each validation."""
    if validation is None:
        return "the best is chosen by the training loss: there is nothing to validate on"
    if validation.select_by != BY_LOSS:
        pictures = len(validation.pictures)
        few = "; a score of so few is unsteady, and train.select_by=loss may choose better" if pictures < _FEW else ""
        return f"the best is chosen by {validation.select_by}: {pictures:,} pictures of {recipe.dataset.val} are captioned at each validation{few}"
    reason = "" if recipe.train.select_by == BY_LOSS else f": there is nothing to work out {recipe.train.select_by} with"
    return f"the best is chosen by the validation loss{reason}"


def _epochs(recipe: Recipe, captions: int, steps: int) -> str:
    if recipe.train.steps is None:
        return f"{recipe.train.epochs} epochs"
    return f"{steps * recipe.train.batch_size * recipe.train.accumulate / captions:.1f} epochs"
