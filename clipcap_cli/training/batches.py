"""Batches whose captions are of like length, so that almost nothing is padding, in an order that a seed decides.

All captions are shuffled, taken in pools of many batches, sorted by length inside a pool, cut into batches, and the batches shuffled: every epoch mixes the
captions anew, yet a batch holds neighbours in length.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from clipcap_cli.training.cross_entropy import IGNORED
from clipcap_cli.training.samples import Samples

EVERYTHING = slice(None)
_POOL_BATCHES = 100
_TARGETS_STEP = 64  # numbers of targets are rounded up to this: kernels are cached by shape, and ever new shapes let memory grow


@dataclass(frozen=True)
class Batch:
    """One batch, made on the CPU.

    Attributes:
        embeddings: float32 [captions, embedding_size].
        tokens: the language model's input behind the prefix, int64 [captions, longest - 1]; padded at the end with token 0, which nothing attends to.
        places: flat places in [captions, prefix_length + longest - 1] whose hidden state predicts a target, int64 [targets].
        targets: int64 [targets], padded with IGNORED; those that are not to be learned are IGNORED too.
        count: targets that count.
        whole: captions of the batch that this is a share of; as many as there are here where nobody shares.
    """

    embeddings: Tensor
    tokens: Tensor
    places: Tensor
    targets: Tensor
    count: int
    whole: int

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        if device.type == "cpu":
            return self
        return replace(
            self,
            embeddings=self.embeddings.to(device),
            tokens=self.tokens.to(device),
            places=self.places.to(device),
            targets=self.targets.to(device),
        )


def batches_per_epoch(captions: int, batch_size: int, *, drop_last: bool = False) -> int:
    """How many batches an epoch has; the last one may be smaller, unless it is dropped then."""
    return captions // batch_size if drop_last else -(-captions // batch_size)


def shuffled_order(captions: int, batch_size: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Captions of each batch of one epoch as the published code takes them: in any order, and what does not fill a batch is left out."""
    shuffled = generator.permutation(captions)
    return [shuffled[start : start + batch_size] for start in range(0, captions - batch_size + 1, batch_size)]


def order_of(lengths: np.ndarray, batch_size: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Captions of each batch of one epoch: every caption once.

    Args:
        lengths: of each caption, in whatever they are measured, [captions].
    """
    shuffled = generator.permutation(len(lengths))
    pool = batch_size * _POOL_BATCHES
    batches: list[np.ndarray] = []
    for first in range(0, len(shuffled), pool):
        members = shuffled[first : first + pool]
        members = members[np.argsort(lengths[members], kind="stable")]
        batches += [members[start : start + batch_size] for start in range(0, len(members), batch_size)]
    return [batches[number] for number in generator.permutation(len(batches))]


def pooled_order(samples: Samples, batch_size: int, generator: np.random.Generator, skip: int = 0) -> Iterator[np.ndarray]:
    """As `order_of`, for captions whose lengths are not known: those of a pool are measured when its turn comes, and its batches shuffled among themselves.

    Args:
        skip: batches that are left out at the beginning; pools that are left out as a whole are not measured.
    """
    shuffled = generator.permutation(len(samples))
    for first in range(0, len(shuffled), batch_size * _POOL_BATCHES):
        members = shuffled[first : first + batch_size * _POOL_BATCHES]
        wanted = skip < batches_per_epoch(len(members), batch_size)
        lengths = np.array([len(ids) for ids in samples.tokens(members)]) if wanted else np.zeros(len(members), np.int64)
        batches = order_of(lengths, batch_size, generator)  # of a pool that is left out too: the generator moves on by it
        for batch in batches[skip:]:
            yield members[batch]
        skip = max(0, skip - len(batches))


def make_batch(samples: Samples, members: np.ndarray, prefix_length: int, own: slice = EVERYTHING) -> Batch:
    """Gather the captions `members` into one batch.

    Args:
        own: the share of them that is wanted; it may be empty.
    """
    whole, members = len(members), members[own]
    ids = samples.tokens(members)
    lengths = np.array([len(tokens) for tokens in ids], np.int64)
    longest = int(lengths.max(initial=1))
    there = np.arange(longest) < lengths[:, None]
    padded = np.zeros((len(members), longest), np.int64)
    padded[there] = np.fromiter(itertools.chain.from_iterable(ids), np.int64, there.sum())
    caption, token = np.nonzero(there)
    # The hidden state at place prefix_length - 1 + t predicts token t.
    places = caption * (prefix_length + longest - 1) + prefix_length - 1 + token
    spare = -len(places) % _TARGETS_STEP
    targets = padded[there]
    if samples.never_learned is not None:
        targets = np.where(targets == samples.never_learned, IGNORED, targets)
    return Batch(
        embeddings=torch.from_numpy(samples.embeddings[samples.rows[members]]),
        tokens=torch.from_numpy(padded[:, :-1]),
        places=torch.from_numpy(np.pad(places, (0, spare))),
        targets=torch.from_numpy(np.pad(targets, (0, spare), constant_values=IGNORED)),
        count=int((targets != IGNORED).sum()),
        whole=whole,
    )


def batches_of(samples: Samples, batch_size: int, prefix_length: int, own: slice = EVERYTHING) -> Iterator[Batch]:
    """All samples once, shortest first: for validation.

    Args:
        own: the share of each batch that is wanted.
    """
    by_length = np.argsort(samples.lengths, kind="stable")
    for start in range(0, len(by_length), batch_size):
        yield make_batch(samples, by_length[start : start + batch_size], prefix_length, own)
