"""How much of training batches is padding, as clipcap makes them and as the published code does.

    python benchmarks/padding.py CAPTIONS.txt [--batch-size 40] [--most 100000]

CAPTIONS.txt has a caption a line. Tokens are those of `builtin:nano`. The bar is 5 %.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
from shapes import table

from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.training.batches import order_of, pooled_order
from clipcap_cli.training.samples import Samples, published_limit


def waste(lengths: np.ndarray, order: list[np.ndarray], longest: int | None = None) -> float:
    """Share of places that hold no token."""
    places = sum(len(members) * (longest or int(lengths[members].max())) for members in order)
    return 1 - sum(int(lengths[members].sum()) for members in order) / places


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("captions", type=Path)
    parser.add_argument("--batch-size", type=int, default=40)
    parser.add_argument("--most", type=int, default=100_000)
    asked = parser.parse_args()
    texts = asked.captions.read_text().splitlines()[: asked.most]
    language_model = load_language_model("builtin:nano")
    lengths = np.array([len(ids) + 1 for ids in language_model.tokenize(texts)])
    print(f"{len(texts):,} captions, {lengths.mean():.1f} tokens on average, {lengths.max()} at most; batches of {asked.batch_size}")
    random = np.random.default_rng(0)
    order = random.permutation(len(texts))
    plain = [order[start : start + asked.batch_size] for start in range(0, len(order), asked.batch_size)]
    samples = Samples(np.zeros((1, 1)), order, pa.array(texts), lengths, False, language_model.tokenize, 0.0, 0)
    ours, pooled = order_of(lengths, asked.batch_size, np.random.default_rng(0)), list(pooled_order(samples, asked.batch_size, np.random.default_rng(0)))
    rows = [
        ("published: every caption padded to one length", waste(lengths, plain, published_limit(lengths - 1))),
        ("each batch padded to its longest, any order", waste(lengths, plain)),
        ("clipcap: captions of like length together", waste(lengths, ours)),
        ("clipcap, more than 500,000 captions: the same in pools of 100 batches", waste(lengths, pooled)),
    ]
    table(("batches", "padding"), [(name, f"{share:.1%}") for name, share in rows])


if __name__ == "__main__":
    main()
