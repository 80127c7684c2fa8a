"""Bringing a language model into memory: from its files to a `LanguageModel` that was tried out once.

Weights come from safetensors files only, and no code that lies beside them is run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from clipcap_cli.captioner.language_models import SAMPLE, LanguageModel
from clipcap_cli.captioner.lm_folders import find_folder, weight_files
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, silent
from clipcap_cli.storage.home import Home
from clipcap_cli.storage.hub import quiet_transformers
from clipcap_cli.storage.reading import check_plain

# transformers computes gelu_new step by step; torch has the same curve in one kernel (differences below 1e-6).
_FUSED = {"gelu_new": "gelu_pytorch_tanh"}
_ACTIVATIONS = ("activation_function", "hidden_act", "activation")
_DROPOUT = re.compile(r"(pdrop|dropout(_p|_prob|_rate)?)$")
_PROBE_LENGTH = 3  # tokens: the fewest that show that a place does not see the ones after it
_PROBE_TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}  # of the largest number compared


def load_language_model(
    name: str,
    *,
    home: Home | None = None,
    dropout: float = 0.0,
    dtype: torch.dtype = torch.float32,
    revision: str | None = None,
    events: Listener = silent,
) -> LanguageModel:
    """The language model that `name` means, on the CPU, frozen, in eval mode.

    Args:
        name: "builtin:nano", a folder, or a hub id ("gpt2").
        home: its `weights/NAME` is looked at before the hub is.
        dropout: probability of every dropout inside, when it is put into training mode.
        dtype: of the weights in memory, whatever the files have.
        revision: of the hub, where it has to be downloaded.

    Raises:
        InputError: there is no such model, its files are damaged or incomplete, or it is no causal language model.
        MissingError: it would have to be downloaded and that cannot be done now.
    """
    folder = find_folder(name, home=home, revision=revision, events=events)
    if folder == Path(name).expanduser():
        name = str(folder.absolute())  # so that it is found again from anywhere
    return load_from_folder(folder, name=name, dropout=dropout, dtype=dtype)


def load_from_folder(
    folder: Path, *, name: str, dropout: float = 0.0, dtype: torch.dtype = torch.float32, weights: Mapping[str, Tensor] | None = None
) -> LanguageModel:
    """`load_language_model` for files that are there.

    Args:
        weights: tensors to take in the place of those in the folder, by their names in transformers; the folder needs none then.
    """
    from transformers import AutoConfig, AutoTokenizer

    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    with quiet_transformers():
        try:
            config = AutoConfig.from_pretrained(folder, **local)
            _adjust(config, dropout)
            _check_claims(folder, config, weights)
            model = _model_of(folder, config, dtype, weights, local)
        except InputError:
            raise
        except Exception as error:  # whatever a damaged or foreign folder makes transformers raise
            raise _unreadable(folder, "this language model cannot be loaded", error) from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        except Exception as error:
            raise _unreadable(folder, "the tokenizer of this language model cannot be loaded", error) from error
        language_model = LanguageModel(model, tokenizer, name=name, folder=folder).eval()
        language_model.tuned = weights is not None
        nn.Module.requires_grad_(language_model, False)
        try:
            _check_tokenizer(language_model)
        except InputError:
            raise
        except Exception as error:  # its settings are of the wrong kind
            raise _unreadable(folder, "the tokenizer of this language model cannot be used", error) from error
        _probe(language_model)
    return language_model


def _check_claims(folder: Path, config: Any, weights: Mapping[str, Tensor] | None) -> None:
    """Whether the weights can be those of what the configuration claims: layers without end would be built for hours before the first is missed."""
    if weights is None:
        tensors, size = 0, 0
        for file in weight_files(folder):
            check_plain(file)
            size += file.stat().st_size
            with safe_open(file, "pt") as opened:
                tensors += len(opened.keys())
    else:
        tensors, size = len(weights), sum(tensor.nbytes for tensor in weights.values())
    layers, numbers = int(config.num_hidden_layers), int(config.vocab_size) * int(config.hidden_size)
    if layers > tensors or numbers > size:
        claim, found = (f"{layers:,} layers", f"{tensors:,} tensors") if layers > tensors else (f"{numbers:,} numbers for its tokens", f"{size:,} bytes")
        message = f"its configuration claims {claim}, and its weights have {found}"
        raise InputError(f"this language model is not whole: {message}", where=str(folder / "config.json"), hint="Copy or download the folder again.")


def _model_of(folder: Path, config: Any, dtype: torch.dtype, weights: Mapping[str, Tensor] | None, local: dict[str, Any]) -> Any:
    from transformers import AutoModelForCausalLM

    # Eager is the faster one for sequences as short as captions on a CPU (1.5 to 2 times, training included).
    attention = "sdpa" if torch.cuda.is_available() else "eager"
    if weights is None:
        model, loading = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype, use_safetensors=True, attn_implementation=attention, output_loading_info=True, **local
        )
        missing = sorted(loading["missing_keys"])
    else:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
        tied = set(getattr(model, "all_tied_weights_keys", None) or getattr(model, "_tied_weights_keys", None) or ())
        missing = [key for key in model.load_state_dict(weights, strict=False).missing_keys if key not in tied]
    if missing:
        raise InputError(
            f"the weights of this language model are not complete: {len(missing)} tensors are missing, the first is {missing[0]!r}",
            where=str(folder),
            hint="Copy or download the folder again.",
        )
    return model


def _adjust(config: Any, dropout: float) -> None:
    for key, value in config.to_dict().items():
        if _DROPOUT.search(key) and isinstance(value, int | float) and not isinstance(value, bool):
            setattr(config, key, dropout)
        elif key in _ACTIVATIONS and value in _FUSED:
            setattr(config, key, _FUSED[value])


def _check_tokenizer(language_model: LanguageModel) -> None:
    """Without its files, transformers makes an empty tokenizer and says nothing."""
    [ids] = language_model.tokenize([SAMPLE])
    text = language_model.detokenize(ids).strip()
    greatest = max([language_model.end_token, language_model.tokenizer.vocab_size - 1, *ids])
    if not text or greatest >= language_model.vocabulary:
        problem = f"it has the token {greatest}, and the model {language_model.vocabulary} tokens" if text else "its files are missing"
        raise InputError(
            f"the tokenizer of this language model does not fit: {problem}", where=str(language_model.folder), hint="Put the model's own tokenizer there."
        )


@torch.no_grad()
def _probe(language_model: LanguageModel) -> None:
    """Try on a few tokens that hidden states and logits are those of the model itself, that places do not see later ones, and that the cache works."""
    folder = language_model.folder
    tokens = torch.arange(_PROBE_LENGTH).unsqueeze(0) % language_model.vocabulary
    try:
        vectors = language_model.embed(tokens)
        whole = language_model.model(inputs_embeds=vectors, use_cache=False).logits.float()
        ours = language_model.logits(language_model.hidden(vectors)).float()
        first, cache = language_model.step(vectors[:, :1], None)
        last, _ = language_model.step(vectors[:, 1:], language_model.reorder(cache, torch.tensor([0])))
    except Exception as error:
        raise _unreadable(folder, "this model cannot be used as a causal language model", error) from error
    tolerance = _PROBE_TOLERANCE[vectors.dtype] * max(1.0, whole.abs().max().item())
    for what, found, expected in (
        ("its logits are made in an unknown way", ours, whole),
        ("it is not causal", first, whole[:, 0]),
        ("it does not go on from a cache", last, whole[:, -1]),
    ):
        distance = (found - expected).abs().max().item()
        if math.isnan(distance) or distance > tolerance:
            raise InputError(f"this model cannot be used as a language model: {what}", where=str(folder), hint="Choose another, such as gpt2 or builtin:nano.")


def _unreadable(folder: Path, message: str, error: Exception) -> InputError:
    lines = str(error).strip().splitlines()
    return InputError(
        f"{message}: {lines[0] if lines else type(error).__name__}",
        where=str(folder),
        hint="It must be a causal language model of transformers with safetensors weights.",
    )
