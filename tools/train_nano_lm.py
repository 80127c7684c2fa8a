"""Make `builtin:nano`, the small language model that ships inside the package.

    python tools/train_nano_lm.py captions.txt clipcap_cli/captioner/builtin/nano

In: a text file of captions, one a line (the shipped model: 118,713 distinct COCO captions, CC BY 4.0); the last 4,000 lines are held out.
Out: a byte-level BPE tokenizer and a GPT-2-shaped model in fp16 safetensors, as transformers reads them, and `training.json` with the settings and
the held-out perplexity of every pass. Seeded; on one thread of one machine the same bits come out again.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from clipcap_cli.training.cross_entropy import linear_cross_entropy

HELD_OUT = 4000
VOCABULARY = 8192
END = "<|endoftext|>"
POSITIONS = 256


def train_tokenizer(captions: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - 1, min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.add_special_tokens([END])  # last id, as in GPT-2
    return tokenizer


def same_length_batches(rows: list[list[int]], batch_tokens: int, shuffler: random.Random) -> list[list[int]]:
    """Indices of `rows` in batches whose rows are all of one length: no padding, no mask."""
    by_length: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        by_length.setdefault(len(row), []).append(index)
    batches = []
    for length, members in by_length.items():
        shuffler.shuffle(members)
        size = max(1, batch_tokens // length)
        batches += [members[start : start + size] for start in range(0, len(members), size)]
    shuffler.shuffle(batches)
    return batches


def loss_of(model: GPT2LMHeadModel, tokens: torch.Tensor, first_position: int, smoothing: float = 0.0) -> torch.Tensor:
    """Mean cross entropy of tokens[:, 1:] given what stands before them; positions count from `first_position`."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    positions = torch.arange(first_position, first_position + inputs.shape[1])[None]
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.transformer(inputs, position_ids=positions).last_hidden_state
        return linear_cross_entropy(hidden.reshape(-1, hidden.shape[-1]), model.lm_head.weight, targets.reshape(-1), smoothing)


@torch.no_grad()
def held_out_nll(model: GPT2LMHeadModel, rows: list[list[int]]) -> float:
    """Summed negative log-likelihood of all tokens (the end token included, the first one given)."""
    model.eval()
    total = 0.0
    for batch in same_length_batches(rows, 8192, random.Random(0)):
        tokens = torch.tensor([rows[index] for index in batch])
        total += loss_of(model, tokens, 0).item() * tokens[:, 1:].numel()
    model.train()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch-tokens", type=int, default=3328)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    disable_progress_bar()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    shuffler = random.Random(args.seed)
    captions = [" ".join(line.split()) for line in args.captions.read_text(encoding="utf-8").splitlines() if line.strip()]
    training, held_out = captions[:-HELD_OUT], captions[-HELD_OUT:]

    tokenizer = train_tokenizer(training)
    end = tokenizer.token_to_id(END)
    encode = lambda texts: [[end, *encoding.ids, end][: POSITIONS // 2] for encoding in tokenizer.encode_batch(texts)]  # noqa: E731
    rows, held_out_rows = encode(training), encode(held_out)
    held_out_tokens = sum(len(row) - 1 for row in held_out_rows)
    held_out_words = sum(len(caption.split()) for caption in held_out)

    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=POSITIONS,
            n_embd=args.width,
            n_layer=args.layers,
            n_head=args.width // 64,
            activation_function="gelu_pytorch_tanh",  # the same curve as gelu_new, in one fused operation
            attn_implementation="eager",  # on a CPU twice as fast as sdpa for sequences this short
            attn_pdrop=0.0,
            embd_pdrop=args.dropout,
            resid_pdrop=args.dropout,
            bos_token_id=end,
            eos_token_id=end,
        )
    ).train()
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}], lr=args.lr, betas=(0.9, 0.98), fused=True
    )
    steps = args.passes * len(same_length_batches(rows, args.batch_tokens, random.Random(0)))
    warmup = steps // 20
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps))))
    )
    print(f"{len(rows):,} captions, {sum(map(len, rows)):,} tokens, {steps:,} steps, {sum(p.numel() for p in model.parameters()):,} parameters", flush=True)

    history, started, step = [], time.time(), 0
    for number in range(1, args.passes + 1):
        for batch in same_length_batches(rows, args.batch_tokens, shuffler):
            tokens = torch.tensor([rows[index] for index in batch])
            # A captioner puts its prefix first, so captions start anywhere: train every position.
            loss = loss_of(model, tokens, shuffler.randrange(POSITIONS - tokens.shape[1]))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
            if step % 100 == 0:
                print(f"step {step:,} loss {loss.item():.3f} {time.time() - started:.0f} s", flush=True)
        nll = held_out_nll(model, held_out_rows)
        entry = {
            "pass": number,
            "minutes": round((time.time() - started) / 60, 1),
            "held_out_perplexity_per_token": round(math.exp(nll / held_out_tokens), 2),
            "held_out_perplexity_per_word": round(math.exp(nll / held_out_words), 2),
        }
        history.append(entry)
        print(entry, flush=True)
        save(args, model, tokenizer, history, len(rows))


def save(args: argparse.Namespace, model: GPT2LMHeadModel, tokenizer: Tokenizer, history: list[dict[str, float]], captions: int) -> None:
    args.output.mkdir(parents=True, exist_ok=True)
    halved = GPT2LMHeadModel(model.config)
    halved.load_state_dict(model.state_dict())
    halved.half().save_pretrained(args.output)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END, model_max_length=POSITIONS).save_pretrained(args.output)
    settings = {key: value for key, value in vars(args).items() if key not in ("captions", "output")}
    record = {"settings": settings, "training_captions": captions, "held_out_captions": HELD_OUT, "passes": history}
    (args.output / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
