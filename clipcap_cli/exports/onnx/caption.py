"""Captions for pictures, from the graphs beside this file. Needs onnxruntime, numpy, pillow and tokenizers, and nothing else.

python caption.py PICTURE_OR_FOLDER … [--beam 5 | --greedy] [--max-tokens 40] [--batch 8] [--threads 0] [--json]

from caption import Captioner
for found in Captioner("FOLDER").caption(["a.jpg", "b.jpg"], beams=5):
    print(found.text, found.score)
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from onnxruntime import InferenceSession, OrtValue, SessionOptions
from PIL import Image, ImageOps, UnidentifiedImageError
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
FORMAT = 1
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".avif", ".ppm", ".pgm", ".jp2")
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "MPO", "PPM", "AVIF", "JPEG2000")
MAX_PIXELS = 200_000_000
LONGEST = 100  # longer side / shorter side
BLOCK = 64  # of a row that is searched for its greatest numbers
NEVER = np.float32("-inf")
Array = np.ndarray[Any, Any]
Picture = str | Path | Image.Image
Hypothesis = tuple[tuple[int, ...], float, bool]  # tokens, score, whether the stop token ended it


class Caption(NamedTuple):
    """The caption of a picture; `score` is the sum of its tokens' log-probabilities / number of tokens ** length_penalty, `candidates` are all, best first."""

    text: str
    score: float
    tokens: tuple[int, ...]
    candidates: tuple[tuple[str, float], ...]


class Ask(NamedTuple):
    """How captions are written; captioner.json has what it is by default."""

    beams: int
    max_tokens: int
    min_tokens: int
    stop: int  # the token that ends a caption
    stop_is_text: bool  # it is part of the caption
    length_penalty: float
    temperature: float
    repetition_penalty: float
    no_repeat_ngram: int | None


class Captioner:
    """The captioner in a folder; ValueError where a file of it is missing or not as it was written.

    Args:
        folder: what `clipcap export --format onnx` wrote.
        threads: for each graph; 0 for as many as there are cores.
        providers: of onnxruntime, the first that it has is taken.
    """

    def __init__(self, folder: str | Path = HERE, *, threads: int = 0, providers: Sequence[str] = ("CPUExecutionProvider",)) -> None:
        folder = Path(folder)
        self.facts = checked(folder)
        self.ask = Ask(**self.facts["decode"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        options = SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        self._encoder, self._mapper, self._lm = (
            InferenceSession(folder / f"{name}.onnx", options, providers=list(providers)) for name in ("encoder", "mapper", "lm")
        )
        self._inputs, self._outputs = ([value.name for value in values] for values in (self._lm.get_inputs(), self._lm.get_outputs()))
        self._empty = [OrtValue.ortvalue_from_numpy(np.zeros((1, it.shape[1], 0, it.shape[3]), np.float32)) for it in self._lm.get_inputs()[3:]]

    def asking(self, beams: int | None = None, max_tokens: int | None = None) -> Ask:
        """How to write captions: as by default, but for what is given. ValueError if that cannot be."""
        ask, most = self.ask, self.facts["language_model"]["most_tokens"]
        ask = ask._replace(beams=ask.beams if beams is None else beams, max_tokens=ask.max_tokens if max_tokens is None else max_tokens)
        if ask.beams < 1 or ask.max_tokens < 1 or (most is not None and ask.max_tokens > most):
            raise ValueError(f"the beam and the tokens are at least 1, and the tokens at most {most}")
        return ask

    def caption(self, pictures: Sequence[Picture], *, beams: int | None = None, max_tokens: int | None = None, batch: int = 8) -> Iterator[Caption]:
        """The captions of pictures, in their order; `beams=1` is the greedy choice."""
        ask = self.asking(beams, max_tokens)
        for start in range(0, len(pictures), batch):
            yield from self.write(np.stack([self.pixels(picture) for picture in pictures[start : start + batch]]), ask)

    def pixels(self, picture: Picture) -> Array:
        """What the encoder gets of a picture, uint8 [size, size, 3]."""
        how = self.facts["encoder"]
        image = to_rgb(picture if isinstance(picture, Image.Image) else opened(Path(picture)))
        short, long = sorted(image.size)
        if how["squeeze"]:
            width = height = how["resize_to"]
        elif long > LONGEST * short:
            raise ValueError(f"a picture of {image.width} x {image.height} pixels is too long and thin")
        else:
            width, height = (int(how["resize_to"] * side / short) for side in image.size)
        resized = image.resize((width, height), Image.Resampling(how["resample"]))
        left, top = (round(spare / 2) if how["middle"] == "even" else spare // 2 for spare in (width - how["size"], height - how["size"]))
        return np.asarray(resized.crop((left, top, left + how["size"], top + how["size"])))

    def write(self, pixels: Array, ask: Ask) -> list[Caption]:
        """The captions of pictures that are prepared, uint8 [n, size, size, 3]."""
        [prefix] = self._mapper.run(None, {"embedding": self._encoder.run(None, {"pixels": pixels})[0]})
        return [self._caption(hypotheses, ask) for hypotheses in search(self._step, prefix, ask)]

    def _caption(self, hypotheses: list[Hypothesis], ask: Ask) -> Caption:
        if not hypotheses:
            raise ValueError("the settings leave nothing that a caption could be")
        kept = [(ids[:-1] if stopped and not ask.stop_is_text else ids, score) for ids, score, stopped in hypotheses]
        texts = [(self._tokenizer.decode(list(ids), skip_special_tokens=True).strip(), score) for ids, score in kept]
        return Caption(texts[0][0], texts[0][1], kept[0][0], tuple(texts))

    def _step(self, prefix: Array, tokens: Array, rows: Array, past: list[Any] | None) -> tuple[Array, list[Any]]:
        """Logits of what comes next, and the past of the next step, which stays where onnxruntime has it."""
        given = [OrtValue.ortvalue_from_numpy(values) for values in (prefix, tokens, rows)]
        logits, *present = self._lm.run_with_ort_values(self._outputs, dict(zip(self._inputs, [*given, *(past or self._empty)], strict=True)))
        return logits.numpy(), present


def checked(folder: Path) -> dict[str, Any]:
    """What captioner.json says. ValueError where it, or a file that is computed with, is missing or not as it was written; this program may be changed."""
    path = folder / "captioner.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_bytes())
        if (facts["kind"], facts["format"]) != ("onnx", FORMAT):
            raise ValueError(f"it is of no onnx captioner of format {FORMAT}")
        for path, digest in ((folder / name, digest) for name, digest in facts["files"].items() if not name.endswith((".py", ".txt"))):
            with path.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                    raise ValueError("it was changed")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(f"{path} is not as it was exported: {getattr(error, 'strerror', None) or error}") from error
    return facts


def search(step: Any, prefix: Array, ask: Ask) -> list[list[Hypothesis]]:
    """Beam search, all pictures at once: the hypotheses of each, best first.

    A beam that has made the stop token keeps its score and length, and can still be pushed out; a picture whose beams have all stopped leaves the batch.
    """
    count = len(prefix)
    found: list[list[Hypothesis]] = [[] for _ in range(count)]
    pictures = np.arange(count)
    tokens, sums = np.zeros((count, 1, 0), np.int64), np.zeros((count, 1), np.float32)
    lengths, stopped, rows = np.zeros((count, 1), np.int64), np.zeros((count, 1), bool), pictures[:, None].copy()
    logits, past = step(prefix, np.zeros((count, 0), np.int64), np.zeros(count, np.int64), None)
    power = np.float32(ask.length_penalty)
    going = ~stopped
    for made in range(1, ask.max_tokens + 1):
        likely, log_probs = likeliest(logits, tokens[going], ask)
        kept = likely.shape[1]
        # A stopped beam has one continuation, which changes nothing: token 0 at no cost, cut off in the end.
        options, ids = np.full((*sums.shape, kept), NEVER, np.float32), np.zeros((*sums.shape, kept), np.int64)
        options[:, :, 0], options[going], ids[going] = 0.0, log_probs, likely
        lengths = lengths + going
        totals = sums[:, :, None] + options
        ranks = (totals / lengths[:, :, None].astype(np.float32) ** power).reshape(len(sums), -1)
        chosen = np.argsort(-ranks, axis=1, kind="stable")[:, : ask.beams]
        source, token = chosen // kept, np.take_along_axis(ids.reshape(len(sums), -1), chosen, 1)
        sums = np.take_along_axis(totals.reshape(len(sums), -1), chosen, 1)
        tokens = np.concatenate([np.take_along_axis(tokens, source[:, :, None], 1), token[:, :, None]], axis=2)
        lengths, rows = np.take_along_axis(lengths, source, 1), np.take_along_axis(rows, source, 1)
        stopped = np.take_along_axis(stopped, source, 1) | (token == ask.stop) | (sums == NEVER)
        finished = stopped.all(axis=1) | (made == ask.max_tokens)
        for row in np.flatnonzero(finished):
            beams = zip(tokens[row].tolist(), sums[row] / lengths[row].astype(np.float32) ** power, lengths[row], stopped[row], strict=True)
            found[pictures[row]] = [(tuple(ids[:length]), float(score), bool(ended)) for ids, score, length, ended in beams if score != NEVER]
        if finished.all():
            break
        pictures, tokens, sums, lengths, stopped, rows = (values[~finished] for values in (pictures, tokens, sums, lengths, stopped, rows))
        going = ~stopped  # a stopped beam needs no more logits
        logits, past = step(np.zeros((int(going.sum()), 0, prefix.shape[2]), np.float32), tokens[going][:, -1:], rows[going], past)
        rows[going] = np.arange(len(logits))
    return found


def likeliest(logits: Array, tokens: Array, ask: Ask) -> tuple[Array, Array]:
    """The best next tokens behind `tokens` [rows, made], of each row at most as many as there are beams, and their log-probabilities."""
    if ask.temperature != 1.0:
        logits = logits / np.float32(ask.temperature)
    if ask.repetition_penalty != 1.0 and tokens.shape[1]:
        values, penalty = np.take_along_axis(logits, tokens, 1), np.float32(ask.repetition_penalty)
        np.put_along_axis(logits, tokens, np.where(values > 0, values / penalty, values * penalty), 1)
    greatest = logits.max(axis=1, keepdims=True)
    log_sum = greatest + np.log(np.exp(logits - greatest).sum(axis=1, keepdims=True))
    if tokens.shape[1] + 1 < ask.min_tokens:
        logits[:, ask.stop] = NEVER
    if size := ask.no_repeat_ngram:
        for row, ids in enumerate(tokens.tolist()):
            runs = [ids[start : start + size] for start in range(len(ids) - size + 1)]
            logits[row, [run[-1] for run in runs if run[:-1] == ids[len(ids) - size + 1 :]]] = NEVER
    ids, values = best_of(logits, ask.beams)
    return ids, values - log_sum


def best_of(numbers: Array, count: int) -> tuple[Array, Array]:
    """The greatest numbers of each row, and where they are; of equal ones the first. They are in the blocks with the greatest maxima: little is sorted."""
    rows, size = numbers.shape
    kept = min(count, size)
    blocks = np.pad(numbers, ((0, 0), (0, -size % BLOCK)), constant_values=NEVER).reshape(rows, -1, BLOCK)
    chosen = np.sort(np.argsort(-blocks.max(axis=2), axis=1, kind="stable")[:, :kept], axis=1)
    values = np.take_along_axis(blocks, chosen[:, :, None], 1).reshape(rows, -1)
    places = (chosen[:, :, None] * BLOCK + np.arange(BLOCK)).reshape(rows, -1)
    order = np.argsort(-values, axis=1, kind="stable")[:, :kept]
    return np.take_along_axis(places, order, 1), np.take_along_axis(values, order, 1)


def opened(path: Path) -> Image.Image:
    """The picture in a file, not decoded yet. Only formats of pictures are tried; Pillow would also start on documents."""
    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # judged here
    try:
        image = Image.open(io.BytesIO(path.read_bytes()), formats=[name for name in FORMATS if name in Image.OPEN])
    except UnidentifiedImageError as error:
        raise ValueError("this is no picture, or of a format that is not read") from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"a picture of {image.width} x {image.height} pixels is more than the {MAX_PIXELS // 1_000_000} megapixels that are read")
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """A picture upright and as RGB: 16 bits scaled to 8, transparency on white."""
    image.load()
    sixteen_bits = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
    with suppress(Exception):  # damaged EXIF data says nothing; the pixels may still be right
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return eight_bits(image, sixteen_bits).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def eight_bits(image: Image.Image, sixteen_bits: bool) -> Image.Image:
    """Numbers of more bits in eight: by the smallest usual white that holds them."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min(initial=0.0)), float(values.max(initial=0.0))
    if low >= 0.0:
        usual = (65_535,) if sixteen_bits else (1.0, 255, 65_535) if image.mode == "F" else (255, 65_535)
        low, high = 0.0, next((white for white in usual if high <= white), high)
    scaled = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))


def main() -> int:
    """The command; it ends with 5 where some pictures could not be read, with 3 where there are none or no captioner."""
    parser = argparse.ArgumentParser(description="Caption pictures.")
    parser.add_argument("pictures", nargs="+", type=Path, help="pictures, or folders of them")
    parser.add_argument("--beam", type=int, metavar="N", help="width of the beam search")
    parser.add_argument("--greedy", action="store_const", dest="beam", const=1, help="take the likeliest token each time")
    parser.add_argument("--max-tokens", type=int, metavar="N", help="longest caption")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="pictures at once (8)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="threads; 0 for one a core")
    parser.add_argument("--json", action="store_true", help="a line of JSON each: image, caption, score, tokens")
    asked = parser.parse_args()
    below = (sorted(named.rglob("*")) if named.is_dir() else [named] for named in asked.pictures)
    paths = [path for found in below for path in found if path in asked.pictures or path.suffix.lower() in SUFFIXES]
    if not paths:
        parser.exit(3, f"no picture is in {', '.join(map(str, asked.pictures))}\n")
    try:
        captioner = Captioner(threads=asked.threads)
    except Exception as error:  # onnxruntime and tokenizers have errors of their own
        parser.exit(3, f"this captioner cannot be used: {error}\n")
    try:
        ask = captioner.asking(asked.beam, asked.max_tokens)
    except ValueError as error:
        parser.error(str(error))
    failed = False
    for start in range(0, len(paths), asked.batch):
        read: dict[Path, Array] = {}
        for path in paths[start : start + asked.batch]:
            try:
                read[path] = captioner.pixels(path)
            except Exception as error:  # decoders raise whatever damaged bytes lead them to
                failed = True
                print(f"{path}: {error}", file=sys.stderr)
        for path, found in zip(read, captioner.write(np.stack(list(read.values())), ask) if read else (), strict=True):
            line = {"image": str(path), "caption": found.text, "score": found.score, "tokens": found.tokens}
            print(json.dumps(line, ensure_ascii=False) if asked.json else f"{path}: {found.text}", flush=True)
    return 5 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
