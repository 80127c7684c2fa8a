"""Captions that spell out their tokens ("17 4 9"), and a language model that reads them so."""

import numpy as np
import pyarrow as pa

from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.datasets.pairs import Pairs
from clipcap_cli.training.samples import Samples, collect_samples


def read(texts):
    return [[int(token) for token in text.split()] for text in texts]


class SpelledLM(LanguageModel):
    """A language model whose tokenizer only reads numbers."""

    def tokenize(self, texts):
        return read(texts)


class Reader:
    """The part of a language model that samples are collected with."""

    def __init__(self, end_token=0, max_positions=None):
        self.end_token, self.max_positions = end_token, max_positions

    def tokenize(self, texts):
        return read(texts)


def samples_of(captions, *, pictures=None, embeddings=None, language_model=None, prefix_length=2, objective="original") -> Samples:
    """Samples of lists of token ids, as they are (no end token); a picture each, unless `pictures` says otherwise."""
    pictures = np.arange(len(captions)) if pictures is None else np.asarray(pictures)
    embeddings = np.arange(pictures.max(initial=0) + 1, dtype=np.float32)[:, None] if embeddings is None else embeddings
    texts = pa.array([" ".join(map(str, ids)) for ids in captions], pa.string())
    return collect_samples(Pairs(np.arange(len(embeddings)).astype("S32"), texts, pictures), embeddings, language_model or Reader(), prefix_length, objective)
