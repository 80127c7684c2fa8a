"""LoRA: a language model stays as it is, and small matrices beside its linear layers are trained in its place.

Adapters are saved alone, in the files that the package `peft` writes, and are merged into the weights when a captioner is loaded: writing captions costs
nothing more.
Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models (arXiv 2106.09685), section 4.1.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.errors import InputError, MissingError
from clipcap_cli.storage.hub import quiet_transformers

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
_NAMED_AT_MOST = 5  # tensors in a message


class _Settings(BaseModel):
    """What is believed of an adapter_config.json; the rest of it could make `peft` import modules that it names."""

    r: int = Field(ge=1, le=1024)
    lora_alpha: float = Field(gt=0.0)
    target_modules: list[str] = Field(min_length=1)


def add_adapters(language_model: LanguageModel, *, rank: int, alpha: float, dropout: float = 0.0) -> None:
    """Put an adapter beside every linear layer but the output layer; from then on they alone have gradients.

    Args:
        rank: of each adapter.
        alpha: what an adapter adds is multiplied by alpha / rank.
        dropout: in front of each adapter while it is trained.

    Raises:
        MissingError: the package `peft` is not installed.
        InputError: the model has no linear layers to put one beside.
    """
    peft = _peft()
    nn.Module.requires_grad_(language_model, False)
    try:
        _inject(language_model, peft.LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM"))
    except ValueError as error:
        raise _unfit(language_model, str(error)) from error
    if not any(parameter.requires_grad for parameter in language_model.parameters()):
        raise _unfit(language_model, "nothing of it would be trained")


def save_adapters(language_model: LanguageModel, folder: Path) -> None:
    """Write the adapters of a language model, and nothing else of it, into the new folder `folder`."""
    peft = _peft()
    config = language_model.adapters
    assert config is not None
    folder.mkdir()
    tensors = peft.get_peft_model_state_dict(language_model.model)
    save_file({f"base_model.model.{key}": value.detach().cpu().contiguous() for key, value in tensors.items()}, folder / TENSORS)
    written = {**config.to_dict(), "base_model_name_or_path": language_model.name, "inference_mode": True}
    written["target_modules"] = sorted(written["target_modules"])
    (folder / CONFIG).write_text(json.dumps(written, indent=2, sort_keys=True, default=str) + "\n", encoding="utf-8")


def merge_adapters(language_model: LanguageModel, folder: Path) -> None:
    """Add the adapters in `folder` to the weights of a language model. Its weights count as tuned afterwards.

    Raises:
        MissingError: the package `peft` is not installed.
        InputError: the files are damaged, or are adapters of another model.
    """
    peft = _peft()
    try:
        settings = _Settings.model_validate_json((folder / CONFIG).read_bytes())
        tensors = load_file(folder / TENSORS)
    except (OSError, ValidationError, SafetensorError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(f"these adapters cannot be read: {reason}", where=str(folder), hint="Bring back the bundle as it was made.") from error
    try:
        _inject(language_model, peft.LoraConfig(r=settings.r, lora_alpha=settings.lora_alpha, target_modules=settings.target_modules))
    except ValueError as error:
        raise _unfit(language_model, str(error)) from error
    expected = {f"base_model.model.{key}": value.shape for key, value in peft.get_peft_model_state_dict(language_model.model).items()}
    wrong = [key for key in sorted(expected.keys() | tensors.keys()) if key not in expected or key not in tensors or expected[key] != tensors[key].shape]
    if wrong:
        named = ", ".join(wrong[:_NAMED_AT_MOST])
        raise InputError(
            f"these adapters are of another language model than {language_model.name!r}: {len(wrong)} tensors differ, {named} among them",
            where=str(folder),
            hint="Bring back the bundle as it was made.",
        )
    peft.set_peft_model_state_dict(language_model.model, {key.removeprefix("base_model.model."): value for key, value in tensors.items()})
    language_model.model = _merged(language_model.model)
    language_model.adapters = None
    language_model.requires_grad_(False)
    language_model.tuned = True


def save_merged(language_model: LanguageModel, folder: Path) -> None:
    """Write a language model into `folder` with its adapters added to its weights; in memory it stays as it is."""
    language_model.save(folder, _merged(copy.deepcopy(language_model.model)))


def _inject(language_model: LanguageModel, config: Any) -> None:
    with quiet_transformers():
        language_model.model = _peft().inject_adapter_in_model(config, language_model.model)
    language_model.adapters = config


@torch.no_grad()
def _merged(model: Any) -> Any:
    """`model`, each of whose adapted layers is replaced by the plain layer with the adapter added."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, layer.get_base_layer())
    return model


def _unfit(language_model: LanguageModel, reason: str) -> InputError:
    return InputError(
        f"the language model {language_model.name!r} cannot have adapters: {reason}",
        where="language_model.tune",
        hint="Set language_model.tune to full or frozen.",
    )


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingError("adapters need the package peft, which is not installed", hint='pip install "clipcap-cli[lora]"') from error
    return peft
