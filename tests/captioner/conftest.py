"""Small language models on disk, in the shapes that people bring: GPT-2 with its output tied to its input, Llama with and without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.captioner.mappers import Preparation, build_mapper
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.storage.home import Home

TEXTS = ["A dog runs on the grass.", "Two red apples lie on a plate.", "A man rides a wave.", "Three cakes on a table."]
END = "<|end|>"
WIDTH = 16
POSITIONS = 48
EMBEDDING_SIZE = 6


def make_tokenizer(end: str | None = END) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=290, special_tokens=[END], show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end)


def make_model(kind: str, vocabulary: int, **changes: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": vocabulary, "bos_token_id": 0, "eos_token_id": 0}
    if kind == "gpt2":
        config = GPT2Config(n_embd=WIDTH, n_layer=2, n_head=2, n_positions=POSITIONS, initializer_range=0.6, **sizes | changes)
        return GPT2LMHeadModel(config)
    llama = {"hidden_size": WIDTH, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(max_position_embeddings=POSITIONS, initializer_range=0.6, tie_word_embeddings=kind == "llama-tied", **llama, **sizes | changes)
    return LlamaForCausalLM(config)


@pytest.fixture(scope="session")
def make_lm(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that makes the folder of a small language model: "gpt2", "llama" or "llama-tied"."""

    def make(kind: str = "gpt2", *, end: str | None = END, **changes: Any) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        logging.disable_progress_bar()
        tokenizer = make_tokenizer(end)
        make_model(kind, len(tokenizer), **changes).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        logging.enable_progress_bar()
        return folder

    return make


@pytest.fixture(scope="session")
def gpt2_folder(make_lm: Callable[..., Path]) -> Path:
    return make_lm("gpt2")


class ColourEncoder:
    """Stands in for an encoder: the mean and the deviation of each colour."""

    spec = "test:colours"
    fingerprint = "c01035" * 8
    embedding_size = EMBEDDING_SIZE
    image_size = 8
    precision = "fp32"

    def preprocess(self, image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize((8, 8)))

    def encode(self, batch: np.ndarray) -> np.ndarray:
        pixels = batch.reshape(len(batch), -1, 3).astype(np.float32) / 255
        return np.concatenate([pixels.mean(axis=1), pixels.std(axis=1)], axis=1)


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder()


@pytest.fixture
def make_captioner(gpt2_folder: Path, tmp_path: Path) -> Callable[..., Captioner]:
    """A function that makes an untrained captioner."""

    def make(folder: Path = gpt2_folder, *, kind: str = "mlp", preparation: Preparation | None = None, **decode: Any) -> Captioner:
        language_model = load_language_model(str(folder))
        torch.manual_seed(1)
        mapper = build_mapper(kind, embedding_size=EMBEDDING_SIZE, lm_width=language_model.width, prefix_length=4, clip_length=2, layers=2, heads=4)
        return Captioner(
            encoder_spec=ColourEncoder.spec,
            encoder_fingerprint=ColourEncoder.fingerprint,
            preparation=preparation or Preparation(False),
            mapper=mapper,
            language_model=language_model,
            decode=Decode.model_validate({"max_tokens": 8, **decode}),
            home=Home(tmp_path / "home"),
        )

    return make
