"""The captioner before its first step: fresh, or with the weights that `init` names."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from clipcap_cli.captioner.adapters import add_adapters
from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.captioner.mappers import Preparation, build_mapper
from clipcap_cli.captioner.models import find_captioner
from clipcap_cli.encoders.base import ImageEncoder
from clipcap_cli.errors import InputError
from clipcap_cli.storage.home import Home
from clipcap_cli.training.material import Material

_FITTED_ON = 20_000  # pictures at most, evenly taken: mean and deviation are known well enough by then


def new_captioner(material: Material, encoder: ImageEncoder, language_model: LanguageModel, home: Home, device: torch.device) -> Captioner:
    """Build the captioner of a recipe; what is drawn is drawn from torch's own stream.

    Raises:
        InputError: `init` names a captioner of another encoder or of other shapes, or there is none.
    """
    recipe, samples, dataset = material.recipe, material.samples, material.dataset
    settings = recipe.mapper
    mapper = build_mapper(
        settings.kind,
        embedding_size=encoder.embedding_size,
        lm_width=language_model.width,
        prefix_length=settings.prefix_length,
        clip_length=settings.clip_length,
        layers=settings.layers,
        heads=settings.heads,
    )
    if recipe.encoder.standardize:
        some = samples.embeddings[:: -(-len(samples.embeddings) // _FITTED_ON)]
        preparation = Preparation.fitted(torch.from_numpy(some), normalize=recipe.encoder.normalize)
    else:
        preparation = Preparation(recipe.encoder.normalize)
    if recipe.init is not None:
        start = load_bundle(find_captioner(recipe.init, home).path, home=home, device="cpu")
        _check_start(start, recipe.init, encoder, mapper.settings)
        _copy_weights(start.mapper, mapper, recipe.init, "mapper")
        if start.language_model.tuned:
            _copy_weights(start.language_model, language_model, recipe.init, "language model")
        preparation = start.preparation
    if recipe.language_model.tune == "lora":
        part = recipe.language_model
        add_adapters(language_model, rank=part.lora_rank, alpha=part.lora_alpha, dropout=part.lora_dropout)
    else:
        language_model.requires_grad_(recipe.language_model.tune == "full")
    return Captioner(
        encoder_spec=encoder.spec,
        encoder_fingerprint=encoder.fingerprint,
        preparation=preparation.to(device),
        mapper=mapper.to(device),
        language_model=language_model.to(device),
        decode=recipe.decode,
        info={"dataset": {"name": dataset.name, "version": dataset.version} if dataset else {"texts": recipe.dataset.texts}},
        home=home,
    )


def _check_start(start: Captioner, name: str, encoder: ImageEncoder, ours: Mapping[str, str | int]) -> None:
    """Refuse to start from a captioner of another encoder, or with another mapper than the recipe's."""
    if start.encoder_fingerprint != encoder.fingerprint:
        hint = f"Add encoder.name={start.encoder_spec}."
        raise InputError(f"{name!r} was made with the encoder {start.encoder_spec}, not {encoder.spec}", where="init", hint=hint)
    theirs = start.mapper.settings
    differing = [key for key in theirs if theirs[key] != ours.get(key)]
    if differing:
        raise InputError(
            f"the mapper of {name!r} is another than this recipe's: "
            + ", ".join(f"{key} {theirs[key]} there, {ours.get(key, 'none')} here" for key in differing),
            where="init",
            hint=f"Add {' '.join(f'mapper.{key}={theirs[key]}' for key in differing)}.",
        )


def _copy_weights(source: torch.nn.Module, target: torch.nn.Module, name: str, part: str) -> None:
    theirs, ours = source.state_dict(), target.state_dict()
    wrong = [key for key in sorted(theirs.keys() | ours.keys()) if key not in theirs or key not in ours or theirs[key].shape != ours[key].shape]
    if wrong:
        raise InputError(
            f"the {part} of {name!r} does not fit this recipe: tensors that differ: {len(wrong)}, the first is {wrong[0]!r}",
            where="init",
            hint=f"Give the recipe the settings of that model: `clipcap model show {name}`.",
        )
    target.load_state_dict(theirs)
