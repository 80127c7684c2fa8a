"""A captioner as a checkpoint of the original ClipCap code: the file that its `load_state_dict` takes, every key in its place.

    gpt.*             the language model, adapters merged, with the output layer
    clip_project.*    the mapper

The original builds GPT-2 and one of three mappers, and does nothing to an embedding but divide it by its length. What is something else cannot be said in
such a file.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.errors import InputError
from clipcap_cli.events import Listener, Note

_HEADS = 8  # of its transformer mapper, always
_LINEAR_ABOVE = 10  # its predictor takes a linear mapper for longer prefixes alone
_SIZES = (512, 640)  # numbers a picture that its training script knows: ViT-B/32 and RN50x4
_GPT2 = (50257, 768, 12)  # tokens, width, layers of the language model that it loads by name
_MASKED = -1e4


def export_original(captioner: Captioner, path: Path, *, old_buffers: bool, events: Listener) -> None:
    """Write a checkpoint.

    Args:
        old_buffers: with the buffers that attention layers have in transformers up to 4.29, as the original's own files; later ones refuse them.

    Raises:
        InputError: the original code has nothing that this captioner could be loaded into.
    """
    check_fits(captioner)
    tell_what_it_lacks(captioner, events)
    torch.save(state_of(captioner, old_buffers=old_buffers), path)


def check_fits(captioner: Captioner) -> None:
    """Whether the original code can have such a captioner.

    Raises:
        InputError: it cannot; every reason is named.
    """
    mapper, language_model = captioner.mapper.settings, captioner.language_model
    wrong = []
    if language_model.model.config.model_type != "gpt2":
        wrong.append(f"its language model {language_model.name!r} is a {language_model.model.config.model_type}, and there it is GPT-2")
    if mapper["kind"] == "transformer" and mapper["heads"] != _HEADS:
        wrong.append(f"its mapper has {mapper['heads']} attention heads, and there it has {_HEADS}")
    if mapper["kind"] == "linear" and captioner.mapper.prefix_length <= _LINEAR_ABOVE:
        wrong.append(f"its mapper is linear with a prefix of {captioner.mapper.prefix_length}, and there it is so only above {_LINEAR_ABOVE}")
    if captioner.preparation.mean is not None:
        wrong.append("it standardizes embeddings (encoder.standardize), and there nothing does")
    if wrong:
        raise InputError(f"the original code cannot have this captioner: {'; '.join(wrong)}", hint="Export it with --format bundle or --format onnx.")


def state_of(captioner: Captioner, *, old_buffers: bool) -> dict[str, Tensor]:
    """The tensors of the checkpoint, by the original's names."""
    state: dict[str, Tensor] = {}
    places = captioner.language_model.max_positions or 0
    for key, value in captioner.language_model.model.state_dict().items():
        layer, _, rest = key.partition(".attn.")
        if old_buffers and rest == "c_attn.weight":
            state[f"gpt.{layer}.attn.bias"] = torch.tril(torch.ones(places, places, dtype=torch.uint8)).view(1, 1, places, places)
            state[f"gpt.{layer}.attn.masked_bias"] = torch.tensor(_MASKED)
        state[f"gpt.{key}"] = value.detach().cpu()
    return {**state, **{f"clip_project.{key}": value.detach().cpu().contiguous() for key, value in captioner.mapper.state_dict().items()}}


def tell_what_it_lacks(captioner: Captioner, events: Listener) -> None:
    """Say what whoever loads the file has to know or to change, since the file does not tell."""
    mapper, language_model, decode = captioner.mapper, captioner.language_model, captioner.decode
    kind, size = mapper.settings["kind"], mapper.embedding_size
    told = [f"the encoder {captioner.encoder_spec}, {size} numbers a picture", f"decoding ({decode.strategy}, stop {decode.stop!r})", "the tokenizer"]
    told += ["embeddings divided by their length (--normalize_prefix)"] if captioner.preparation.normalize else ["embeddings as they are"]
    events(Note(f"the file does not say: {'; '.join(told)}"))
    config = language_model.model.config
    if (language_model.vocabulary, language_model.width, config.n_layer) != _GPT2:
        events(Note(f"the original loads the language model 'gpt2' first, which has other sizes: load {language_model.name} there in its place", "warning"))
    if size not in _SIZES:
        events(Note(f"the original's scripts take {' or '.join(map(str, _SIZES))} numbers a picture: give its class prefix_size={size}", "warning"))
    if kind == "mlp" and mapper.prefix_length > _LINEAR_ABOVE:
        events(
            Note(f"with a prefix above {_LINEAR_ABOVE} the original's predict.py expects a linear mapper; the class of its train.py reads this one", "warning")
        )
