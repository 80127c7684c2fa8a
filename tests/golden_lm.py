"""Language-model folders that fit the golden checkpoints: GPT-2 with 97 tokens, and a tokenizer of words."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

GOLDEN = Path(__file__).parent / "data" / "golden"
CHECKPOINTS = GOLDEN / "checkpoints"
FILES = json.loads((CHECKPOINTS / "checkpoints.json").read_text())["files"]
END = "[END]"


def make_lm_folder(folder: Path, *, layers: int = 2, weights: Path | None = None, without_weights: bool = False, width: int = 32) -> Path:
    """A folder as `save_pretrained` writes it.

    Args:
        weights: a checkpoint whose language model it gets; random ones otherwise.
    """
    words = [END, "[UNK]", "a", "dog", ".", *(f"word{number}" for number in range(92))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=97, n_positions=48, n_embd=width, n_layer=layers, n_head=4, bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config)
    if weights is not None:
        state = {key.removeprefix("gpt."): value for key, value in torch.load(weights, weights_only=True).items() if key.startswith("gpt.")}
        model.load_state_dict(state)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, unk_token="[UNK]").save_pretrained(folder)
    model.save_pretrained(folder)
    if without_weights:
        (folder / "model.safetensors").unlink()
    return folder
