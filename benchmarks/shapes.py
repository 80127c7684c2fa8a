"""What the benchmarks share: models in the shapes of the published ones with random weights, the machine's own limits, and tables."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from clipcap_cli.captioner.language_models import LanguageModel

END = 50256
WIDTH = 768
GPT2_WEIGHTS = 124e6


def gpt2(*, spread: float = 1.0, attention: str = "eager", fused: bool = True) -> GPT2LMHeadModel:
    """GPT-2 in its smallest size (124M weights, 12 layers of width 768), random.

    Args:
        spread: factor on the token vectors; 1 gives nearly flat probabilities, more gives peaked ones as a trained model has them.
        fused: the activation in one kernel, as clipcap loads GPT-2; without it as transformers does.
    """
    torch.manual_seed(0)
    config = GPT2Config(activation_function="gelu_pytorch_tanh" if fused else "gelu_new", embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)
    config._attn_implementation = attention
    model = GPT2LMHeadModel(config).eval().requires_grad_(False)
    model.transformer.wte.weight.mul_(spread)
    return model


def language_model(model: GPT2LMHeadModel) -> LanguageModel:
    """clipcap's face of it; no text is read or written in the benchmarks, so it has no tokenizer."""
    wrapped = LanguageModel(model, SimpleNamespace(eos_token_id=END, vocab_size=END + 1), name="gpt2 (random)", folder=Path())
    return wrapped.requires_grad_(False).eval()


def machine() -> str:
    """A line about the machine and what else it is doing."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    threads = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads"
    return f"{processor()}, {threads}, torch {torch.__version__}, Python {platform.python_version()}, load {load:.1f}"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def matrix_rate(dtype: torch.dtype, rows: int) -> float:
    """Floating-point operations a second of products [rows, 768] x [768, 3072], whose weights are laid out once: the best this machine was seen to do."""
    inputs, weight = torch.randn(rows, WIDTH, dtype=dtype), torch.randn(4 * WIDTH, WIDTH, dtype=dtype)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    ways = (lambda: torch.ops.mkldnn._linear_pointwise(inputs, packed, None, "none", [], ""), lambda: torch.nn.functional.linear(inputs, weight))
    return 2 * inputs.numel() * len(weight) / min(seconds(way) for way in ways for _ in range(30))


def read_rate() -> float:
    """Bytes a second that are read from memory, by summing 512 MiB."""
    values = torch.ones(2**27)
    return 4 * len(values) / min(seconds(values.sum) for _ in range(10))


def spread_of(values: Sequence[float], digits: int = 2) -> str:
    """`median (least to greatest)`."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")
