"""What the onnx folder is beside torch: size, pictures a second, the same tokens or not, and what eight bits cost in CIDEr.

    python benchmarks/without_torch.py RUN --dataset NAME [--split val] [--pictures 1000] [--timed 64] [--rounds 3] [--threads 2]

RUN and the dataset are those of the store (CLIPCAP_HOME). All sides read the same files of pictures in batches of 16 and take turns in every round; a ratio
is of one round. Torch is in fp32, as the graphs are. GPT-2's size is tried with random weights, for its size and speed alone: every caption has 20 tokens.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

os.environ.setdefault("OMP_NUM_THREADS", "2")

import torch
from shapes import END, gpt2, machine, seconds, spread_of, table
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from clipcap_cli.captioner.bundle import load_bundle, save_bundle
from clipcap_cli.captioner.captioner import Caption, Captioner
from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.captioner.mappers import Preparation, build_mapper
from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.evaluation.judge import Judge
from clipcap_cli.exports.exporting import export
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.storage.home import Home, open_home

BATCH = 16
WIDTHS = (1, 5)
GPT2_TOKENS = 20
PEAKED = 6.0  # entropy of a token of about 2 nats, as a trained captioner has it
Side = Callable[[list[Path], int], list[tuple[tuple[int, ...], str]]]


def with_torch(captioner: Captioner, home: Home) -> Side:
    captioner._encoder = load_encoder(captioner.encoder_spec, home=home, device="cpu", precision="fp32")

    def write(paths: list[Path], beams: int) -> list[tuple[tuple[int, ...], str]]:
        found = captioner.caption(paths, batch_size=BATCH, strategy="beam", beams=beams)
        return [(caption.tokens, caption.text) for caption in found if isinstance(caption, Caption)]

    return write


def with_onnx(folder: Path, threads: int) -> Side:
    found = program(folder).Captioner(folder, threads=threads)
    return lambda paths, beams: [(caption.tokens, caption.text) for caption in found.caption(paths, beams=beams, batch=BATCH)]


def program(folder: Path) -> ModuleType:
    """The caption.py of a folder."""
    spec = importlib.util.spec_from_file_location("caption", folder / "caption.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules["caption"] = made  # its dataclasses look themselves up
    spec.loader.exec_module(made)
    return made


def random_gpt2(home: Home, folder: Path) -> Path:
    """A captioner of GPT-2's size that has learned nothing, as a bundle."""
    tokenizer = Tokenizer(models.WordLevel({f"w{number}": number for number in range(END + 1)}, unk_token="w0"))
    model = gpt2(spread=PEAKED)
    lm = LanguageModel(model, PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=f"w{END}"), name="gpt2 (random)", folder=folder)
    lm.content_hash = "random"
    lm.requires_grad_(False).eval().tuned = True
    encoder = load_encoder("efficientnet-lite0", home=home, device="cpu", precision="fp32")
    mapper = build_mapper("mlp", embedding_size=encoder.embedding_size, lm_width=lm.width, prefix_length=10)
    decode = Decode.model_validate({"max_tokens": GPT2_TOKENS, "min_tokens": GPT2_TOKENS})
    captioner = Captioner(encoder.spec, encoder.fingerprint, Preparation(True), mapper.requires_grad_(False), lm, decode, home=home)
    save_bundle(captioner, folder)
    return folder


def megabytes(folder: Path) -> str:
    return f"{sum(path.stat().st_size for path in folder.rglob('*') if path.is_file()) / 1e6:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--pictures", type=int, default=1000, help="for tokens and CIDEr")
    parser.add_argument("--timed", type=int, default=64, help="pictures of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    home = open_home()
    images = [image for image in open_dataset(asked.dataset, home=home).images(asked.split) if image.path is not None][: asked.pictures]
    paths = [Path(image.path) for image in images]
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        room = Path(scratch)
        sides, sizes = make_sides(asked.run, room / "run", home, asked.threads)
        quality(sides, paths, {image.name: image.captions for image in images})
        speed(asked.run, sides, sizes, paths[: asked.timed], asked.rounds)
        sides, sizes = make_sides(str(random_gpt2(home, room / "random-gpt2")), room / "gpt2", home, asked.threads)
        speed("GPT-2's size, random", sides, sizes, paths[: asked.timed // 2], asked.rounds)


def make_sides(name: str, room: Path, home: Home, threads: int) -> tuple[dict[str, Side], dict[str, str]]:
    """Torch, onnx and onnx in eight bits, each with the size of its folder."""
    export(name, "bundle", room / "torch", self_contained=True, home=home)
    for label, int8 in (("onnx", False), ("onnx-int8", True)):
        print(f"export {label}: {seconds(lambda label=label, int8=int8: export(name, 'onnx', room / label, int8=int8, home=home)):.0f} s")
    sides = {"torch": with_torch(load_bundle(room / "torch", home=home, device="cpu"), home)}
    sides |= {label: with_onnx(room / label, threads) for label in ("onnx", "onnx-int8")}
    return sides, {label: megabytes(room / label) for label in sides}


def quality(sides: dict[str, Side], paths: list[Path], references: dict[str, tuple[str, ...]]) -> None:
    """The same tokens or not, and CIDEr."""
    rows = []
    for beams in WIDTHS:
        made = {side: write(paths, beams) for side, write in sides.items()}
        for side, captions in made.items():
            same = sum(ours[0] == theirs[0] for ours, theirs in zip(captions, made["torch"], strict=True))
            texts = {name: text for name, (_, text) in zip(references, captions, strict=True)}
            system = Judge(("cider", "bleu")).system(side, references, texts)
            found = {
                metric.name: f"{metric.score:.4f} ({interval.low:.3f} to {interval.high:.3f})"
                for metric, interval in zip(system.metrics, system.intervals, strict=True)
            }
            rows.append((f"beam {beams}" if beams > 1 else "greedy", side, f"{same} of {len(paths)}", *(found[key] for key in ("CIDEr-D", "CIDEr", "BLEU-4"))))
    table(("decoding", "side", "same tokens as torch", "CIDEr-D", "CIDEr", "BLEU-4"), rows)


def speed(what: str, sides: dict[str, Side], sizes: dict[str, str], paths: list[Path], rounds: int) -> None:
    times: dict[tuple[str, int], list[float]] = {}
    for write in sides.values():
        write(paths[:BATCH], 2)  # the first call lays out weights
    for _ in range(rounds):
        for beams in WIDTHS:
            for side, write in sides.items():
                times.setdefault((side, beams), []).append(seconds(lambda write=write, beams=beams: write(paths, beams)))
    rows = []
    for side in sides:
        cells = []
        for beams in WIDTHS:
            cells.append(spread_of([len(paths) / value for value in times[side, beams]], 1))
            cells.append(spread_of([theirs / ours for ours, theirs in zip(times[side, beams], times["torch", beams], strict=True)]))
        rows.append((what, side, sizes[side], *cells))
    table(("captioner", "side", "folder", "pictures/s, greedy", "of torch", "pictures/s, beam 5", "of torch"), rows)


if __name__ == "__main__":
    main()
