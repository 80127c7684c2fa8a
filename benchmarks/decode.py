"""How fast captions are written, against the published way and against transformers' `generate`, with the same tokens.

    python benchmarks/decode.py [--pictures 32] [--rounds 3] [--tokens 20] [--beams 5]

GPT-2's shape (124M weights) with random ones, a prefix of 10 vectors. The baseline is the published search: one picture at a time, no cache, every step
computes the whole text again for every beam, fp32; it is run on two pictures, and costs the same for each. All sides take turns in every round; a ratio is of
one round. The limit is what the products alone would take at the best rate that was measured on this machine, or reading the weights once a step.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from shapes import END, GPT2_WEIGHTS, WIDTH, gpt2, language_model, machine, matrix_rate, read_rate, seconds, spread_of, table
from torch import Tensor
from transformers import GPT2LMHeadModel

from clipcap_cli.captioner.decoding.base import Ask
from clipcap_cli.captioner.decoding.beam import beam_search
from clipcap_cli.captioner.language_models import LanguageModel

PREFIX = 10
PEAKED = 6.0  # entropy of a token of about 2 nats, as a trained captioner has it
Tokens = list[tuple[int, ...]]


@torch.no_grad()
def published(model: GPT2LMHeadModel, prefix: Tensor, beams: int, tokens: int, stop: int) -> tuple[int, ...]:
    """The best caption of one prefix [prefix_length, width] by the published search, in plain steps."""
    made, sums, lengths, stopped = None, torch.zeros(1), torch.zeros(1), torch.zeros(1, dtype=torch.bool)
    vectors = prefix[None]
    for _ in range(tokens):
        log_probs = model(inputs_embeds=vectors).logits[:, -1].softmax(-1).log()
        if made is None:
            sums, chosen = log_probs[0].topk(beams)
            made, vectors = chosen[:, None], vectors.expand(beams, -1, -1)
            lengths, stopped = torch.ones(beams), torch.zeros(beams, dtype=torch.bool)
        else:
            log_probs[stopped] = float("-inf")
            log_probs[stopped, 0] = 0.0
            lengths = lengths + ~stopped
            totals = sums[:, None] + log_probs
            _, flat = (totals / lengths[:, None]).flatten().topk(beams)
            source, chosen = flat // totals.shape[1], flat % totals.shape[1]
            sums, lengths, stopped = totals.flatten()[flat], lengths[source], stopped[source]
            made, vectors = torch.cat([made[source], chosen[:, None]], dim=1), vectors[source]
        vectors = torch.cat([vectors, model.transformer.wte(chosen)[:, None]], dim=1)
        stopped = stopped | (chosen == stop)
        if stopped.all():
            break
    best = (sums / lengths).argmax()
    return tuple(made[best, : int(lengths[best])].tolist())


def ours(lm: LanguageModel, prefix: Tensor, beams: int, tokens: int, stop: int) -> Tokens:
    return [hypotheses[0].tokens for hypotheses in beam_search(lm, prefix, Ask(tokens, stop), beams=beams)]


@torch.no_grad()
def generated(model: GPT2LMHeadModel, prefix: Tensor, beams: int, tokens: int, stop: int) -> Tokens:
    mask = torch.ones(prefix.shape[:2], dtype=torch.long)
    settings = {"num_beams": beams, "max_new_tokens": tokens, "do_sample": False, "length_penalty": 1.0, "early_stopping": True}
    found = model.generate(inputs_embeds=prefix, attention_mask=mask, eos_token_id=stop, pad_token_id=END, **settings).tolist()
    return [tuple(row[: row.index(stop) + 1] if stop in row else row) for row in found]


def ending(model: GPT2LMHeadModel, least: int, most: int) -> int:
    """Make one token ever likelier from place to place, so that captions end after `least` to `most` tokens; returns the token."""
    stop = 13
    weights = model.transformer
    size = weights.wte.weight.norm(dim=1).mean()
    direction = size * torch.nn.functional.normalize(torch.randn(WIDTH, generator=torch.Generator().manual_seed(1)), dim=0)
    weights.wte.weight[stop] = 1.2 * direction
    first = PREFIX + least - 2  # the place that predicts the last token of a caption of `least`
    weights.wpe.weight[:first] -= direction
    weights.wpe.weight[first : PREFIX + most] += torch.linspace(0.74, 1.1, most - least + 2)[:, None] * direction
    return stop


def limit(pictures: int, beams: int, tokens: int, dtype: torch.dtype) -> float:
    """Seconds that the machine needs at least: the products of every step at its best rate, or reading the weights once a step, whichever is more."""
    rows = pictures * beams
    body, output = GPT2_WEIGHTS - 38.6e6, 38.6e6  # the output layer stays in fp32
    products = 2 * (
        body * (rows * (tokens - 1) + pictures * PREFIX) / matrix_rate(dtype, rows)
        + output * (rows * (tokens - 1) + pictures) / matrix_rate(torch.float32, rows)
    )
    reading = tokens * (body * dtype.itemsize + output * 4) / read_rate()
    return max(products, reading)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--beams", type=int, default=5)
    asked = parser.parse_args()
    beams, tokens, count = asked.beams, asked.tokens, asked.pictures
    never = END  # so unlikely in these weights that every caption has all its tokens

    model = gpt2(spread=PEAKED)
    prefix = torch.randn(count, PREFIX, WIDTH, generator=torch.Generator().manual_seed(2))
    exact, fast = language_model(model), language_model(model)
    fast.step_in(torch.bfloat16)
    theirs = gpt2(spread=PEAKED, attention="sdpa", fused=False)  # as transformers itself would load it
    ragged_model, ragged_theirs = gpt2(spread=PEAKED), gpt2(spread=PEAKED, attention="sdpa", fused=False)
    stop = ending(ragged_model, 6, tokens)
    ending(ragged_theirs, 6, tokens)
    ragged = language_model(ragged_model)

    found: dict[str, Tokens] = {}
    times: dict[str, list[float]] = {}

    def side(name: str, work: Callable[[], Tokens]) -> None:
        times.setdefault(name, []).append(seconds(lambda: found.__setitem__(name, work())))

    print(machine())
    ours(exact, prefix, beams, 2, never), ours(fast, prefix, beams, 2, never), ours(ragged, prefix, beams, 2, never)  # weights are laid out at the first use
    for _ in range(asked.rounds):
        side("baseline", lambda: [published(model, row, beams, tokens, never) for row in prefix[:2]])
        side("generate", lambda: generated(theirs, prefix, beams, tokens, never))
        side("clipcap", lambda: ours(exact, prefix, beams, tokens, never))
        side("clipcap bf16", lambda: ours(fast, prefix, beams, tokens, never))
        side("generate, 1", lambda: generated(theirs, prefix[:1], beams, tokens, never))
        side("clipcap, 1", lambda: ours(exact, prefix[:1], beams, tokens, never))
        side("generate, ragged", lambda: generated(ragged_theirs, prefix, beams, tokens, stop))
        side("clipcap, ragged", lambda: ours(ragged, prefix, beams, tokens, stop))
    times["baseline"] = [value / 2 * count for value in times["baseline"]]

    def ratio(ours: str, theirs: str) -> str:
        return spread_of([slow / fast for slow, fast in zip(times[theirs], times[ours], strict=True)])

    fp32_limit, bf16_limit, one_limit = (
        limit(count, beams, tokens, torch.float32),
        limit(count, beams, tokens, torch.bfloat16),
        limit(1, beams, tokens, torch.float32),
    )

    def row(work: str, ours: str, theirs: str, bar: str, least: float | None) -> tuple[str, ...]:
        share = f"{least / min(times[ours]):.0%}" if least else ""
        return work, theirs.partition(",")[0], spread_of(times[theirs]), spread_of(times[ours]), f"**{ratio(ours, theirs)}**", bar, share

    what = f"beam {beams}, {tokens} tokens"
    table(
        ("work", "against", "s, theirs", "s, clipcap", "ratio", "bar", "of the machine's limit"),
        [
            row(f"{what}, batch {count}, fp32", "clipcap", "baseline", "15", fp32_limit),
            row(f"{what}, batch {count}, fp32", "clipcap", "generate", "1.2", fp32_limit),
            row(f"{what}, one picture, fp32", "clipcap, 1", "generate, 1", "2.5", one_limit),
            row(f"beam {beams}, 6 to {tokens} tokens, batch {count}, fp32", "clipcap, ragged", "generate, ragged", "1.6", None),
            row(f"{what}, batch {count}, bf16", "clipcap bf16", "baseline", "30", bf16_limit),
        ],
    )
    same = sum(a == b for a, b in zip(found["baseline"], found["clipcap"], strict=False))
    agreeing = sum(a == b for a, b in zip(found["generate"], found["clipcap"], strict=True))
    rough = sum(a == b for a, b in zip(found["clipcap bf16"], found["clipcap"], strict=True))
    lengths = sorted(len(row) for row in found["clipcap, ragged"])
    print(f"\nThe same best caption as the baseline: {same} of 2; as generate: {agreeing} of {count}; bf16 as fp32: {rough} of {count}.")
    print(f"Ragged captions have {lengths[0]} to {lengths[-1]} tokens, {sum(lengths) / len(lengths):.1f} on average.")
    rates = [matrix_rate(dtype, count * beams) / 1e9 for dtype in (torch.float32, torch.bfloat16)]
    print(f"Limits: {rates[0]:.0f} GFLOP/s in fp32, {rates[1]:.0f} in bf16, {read_rate() / 1e9:.0f} GB/s.")


if __name__ == "__main__":
    main()
