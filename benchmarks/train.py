"""How long a training step takes, against the published way.

    python benchmarks/train.py [--rounds 2] [--batches 6] [--precision auto]

GPT-2's shape (124M weights) with random ones, embeddings of 512 numbers, 40 captions a batch with the lengths of COCO's captions (11.5 tokens on average, 49 at
most). The baseline is the published loop: every caption padded to the longest of the data set, all logits made and kept, fp32, an optimiser step tensor by
tensor. Both sides train on the same captions; clipcap's step is the mean over several batches, since batches of like length cost more or less. The
limit is the products of clipcap's step at the best rate that was measured on this machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from shapes import END, GPT2_WEIGHTS, WIDTH, gpt2, language_model, machine, matrix_rate, spread_of, table
from torch import nn
from torch.nn import functional as F

from clipcap_cli.captioner.mappers import Mapper, Preparation, build_mapper
from clipcap_cli.encoders.memory import keeping_freed_memory
from clipcap_cli.encoders.precision import choose_precision
from clipcap_cli.recipe.schema import TrainPart
from clipcap_cli.training.batches import make_batch, order_of
from clipcap_cli.training.objective import caption_loss
from clipcap_cli.training.optimizer import make_optimizer
from clipcap_cli.training.samples import Samples

BATCH = 40
LONGEST = 49
_WARMING = 2  # steps that are not counted: kernels are chosen and memory is taken then, once a training
OUTPUT = 38.6e6  # weights of the output layer


@dataclass(frozen=True)
class Work:
    """One kind of training; `bar` is the ratio that it is to reach."""

    name: str
    mapper: str
    prefix_length: int
    tunes: bool
    bar: int


WORKS = (
    Work("MLP mapper, K = 10, GPT-2 tuned", "mlp", 10, True, 15),
    Work("8-layer transformer mapper, K = C = 40, GPT-2 frozen", "transformer", 40, False, 8),
)


def coco_like(captions: int) -> Samples:
    """Random tokens with the lengths of COCO's captions."""
    random = np.random.default_rng(0)
    lengths = np.clip(np.rint(random.gamma(8.0, 0.55, captions) + 7.1).astype(np.int64), 6, LONGEST)
    lengths[0] = LONGEST
    texts = pa.array([" ".join(map(str, random.integers(1, END, length))) for length in lengths])
    embeddings = random.normal(size=(captions, 512)).astype(np.float32)
    return Samples(embeddings, np.arange(captions), texts, lengths, True, spelled, float(lengths.mean()), 0)


def spelled(texts: Sequence[str]) -> list[list[int]]:
    """The tokens of captions that spell them out: "17 4 9"."""
    return [[int(token) for token in text.split()] for text in texts]


def mapper_of(work: Work) -> Mapper:
    torch.manual_seed(0)
    return build_mapper(work.mapper, embedding_size=512, lm_width=WIDTH, prefix_length=work.prefix_length, clip_length=40, layers=8, heads=8)


def published(work: Work, samples: Samples, batches: list[np.ndarray]) -> list[float]:
    """Seconds of each step of the published loop, without the first ones."""
    model, mapper = gpt2(fused=False, attention="sdpa").requires_grad_(True), mapper_of(work)  # a frozen one gets gradients there too
    model.train(work.tunes)
    trained = [*mapper.parameters(), *(model.parameters() if work.tunes else ())]
    optimizer = torch.optim.AdamW(trained, lr=2e-5, weight_decay=0.0, foreach=False, fused=False)
    times = []
    for members in [*batches[:1] * _WARMING, *batches]:
        began = time.perf_counter()
        tokens = torch.zeros(len(members), LONGEST, dtype=torch.long)
        for row, ids in enumerate(samples.tokens(members)):
            tokens[row, : len(ids)] = torch.tensor(ids)
        prefix = mapper(torch.from_numpy(samples.embeddings[members]))
        mask = torch.cat([torch.ones(prefix.shape[:2]), tokens != 0], dim=1)
        logits = model(inputs_embeds=torch.cat([prefix, model.transformer.wte(tokens)], dim=1), attention_mask=mask).logits[:, work.prefix_length - 1 : -1]
        F.cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens.flatten(), ignore_index=0).backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - began)
    return times[_WARMING:]


def ours(work: Work, samples: Samples, batches: list[np.ndarray], precision: str) -> list[float]:
    """Seconds of each step of clipcap's loop, without the first ones."""
    lm, mapper = language_model(gpt2()), mapper_of(work)
    lm.requires_grad_(work.tunes)
    optimizer = make_optimizer(mapper, lm, TrainPart.model_validate({"lr": 2e-5}))
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    times = []
    with keeping_freed_memory():  # as a training of clipcap's does; what it kept is given back before the other side's turn
        for members in [*batches[:1] * _WARMING, *batches]:
            began = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = caption_loss(make_batch(samples, members, work.prefix_length), Preparation(True), mapper, lm)
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            times.append(time.perf_counter() - began)
    return times[_WARMING:]


def products(work: Work, samples: Samples, batches: list[np.ndarray]) -> float:
    """Floating-point operations of the products of one step of clipcap's, on average."""
    targets = float(np.mean([samples.lengths[members].sum() for members in batches]))
    places = float(np.mean([len(members) * (work.prefix_length + samples.lengths[members].max() - 1) for members in batches]))
    passes = 6 if work.tunes else 4  # forward, backward to what came in, and backward to the weights
    mapper = sum(parameter.numel() for parameter in mapper_of(work).parameters() if parameter.ndim > 1)
    through = BATCH * (40 + work.prefix_length if work.mapper == "transformer" else 1)
    return passes * ((GPT2_WEIGHTS - OUTPUT) * places + OUTPUT * targets) + 6 * mapper * through


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batches", type=int, default=6)
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    asked = parser.parse_args()
    precision, reason = choose_precision(asked.precision, torch.device("cpu"))
    print(machine())
    print(f"{precision}: {reason}")
    samples = coco_like(BATCH * 400)
    batches = order_of(samples.lengths, BATCH, np.random.default_rng(1))[: asked.batches]
    shown = np.mean([samples.lengths[members].mean() for members in batches])
    print(f"captions of {samples.mean_tokens:.1f} tokens on average; those of the batches {shown:.1f}")
    rate = matrix_rate(torch.bfloat16 if precision == "bf16" else torch.float32, 1024)
    rows = []
    for work in WORKS:
        theirs, clipcap = [], []
        for _ in range(asked.rounds):
            theirs.append(float(np.mean(published(work, samples, batches[:1]))))
            clipcap.append(float(np.mean(ours(work, samples, batches, precision))))
        ratios = [slow / fast for slow, fast in zip(theirs, clipcap, strict=True)]
        share = products(work, samples, batches) / rate / min(clipcap)
        rows.append((work.name, spread_of(theirs), spread_of(clipcap), f"**{spread_of(ratios, 1)}**", work.bar, f"{share:.0%}"))
    table((f"one step, {BATCH} captions", "s, published", f"s, clipcap in {precision}", "ratio", "bar", "of the machine's limit"), rows)
    print(f"\nLimit: {rate / 1e9:.0f} GFLOP/s in {precision}.")


if __name__ == "__main__":
    main()
