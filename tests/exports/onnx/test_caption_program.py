"""caption.py by itself: the same pixels and the same search as clipcap, without any graph."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from clipcap_cli.captioner.decoding.base import Ask
from clipcap_cli.captioner.decoding.beam import beam_search
from clipcap_cli.captioner.decoding.rules import Rules
from clipcap_cli.datasets.pictures import open_picture
from clipcap_cli.encoders.preprocessing import Preprocessing
from clipcap_cli.exports.onnx import caption as program

VOCABULARY = 7


class TableModel:
    """A language model that looks its logits up: by picture, place and last token."""

    max_positions = None

    def __init__(self, seed: int, pictures: int, tokens: int) -> None:
        self.logits = 3 * torch.randn(pictures, tokens + 1, VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(seed))

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens[..., None].float()

    def step(self, embeddings: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        last = embeddings[:, -1, 0].long()
        pictures, place = (last, 0) if cache is None else cache
        found = self.logits[pictures, place, torch.zeros_like(last) if cache is None else last].clone()
        return found, (pictures, place + 1)

    def reorder(self, cache: Any, index: torch.Tensor) -> Any:
        return cache[0][index], cache[1]

    def numpy_step(self, prefix: np.ndarray[Any, Any], tokens: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], past: Any) -> tuple[Any, Any]:
        given = prefix[:, :, 0] if past is None else tokens
        cache = None if past is None else self.reorder(past, torch.from_numpy(rows))
        logits, cache = self.step(torch.from_numpy(given)[..., None].float(), cache)
        return logits.numpy(), cache


@given(
    seed=st.integers(0, 10_000),
    pictures=st.integers(1, 4),
    beams=st.integers(1, VOCABULARY + 2),
    max_tokens=st.integers(1, 6),
    min_tokens=st.integers(1, 4),
    length_penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    repetition_penalty=st.sampled_from([1.0, 1.5]),
    no_repeat_ngram=st.sampled_from([None, 1, 2]),
)
def test_the_search_is_that_of_clipcap(seed: int, pictures: int, beams: int, max_tokens: int, **settings: Any) -> None:
    model = TableModel(seed, pictures, max_tokens)
    prefix = torch.arange(pictures, dtype=torch.float32)[:, None, None]
    rules = Rules(settings["repetition_penalty"], settings["no_repeat_ngram"])
    ask = Ask(max_tokens, 3, settings["min_tokens"], settings["temperature"], settings["length_penalty"], rules)
    theirs = beam_search(model, prefix, ask, beams=beams)  # type: ignore[arg-type]
    ours = program.search(model.numpy_step, prefix.numpy(), program.Ask(beams, max_tokens, stop=3, stop_is_text=False, **settings))
    for found, expected in zip(ours, theirs, strict=True):
        assert [(ids, stopped) for ids, _, stopped in found] == [(one.tokens, one.stopped) for one in expected]
        assert [score for _, score, _ in found] == pytest.approx([one.score for one in expected], rel=1e-5, abs=1e-5)


def test_of_two_equally_likely_tokens_the_first_is_taken() -> None:
    tokens, values = program.best_of(np.array([[0.0, 2.0, 1.0, 2.0, 1.0]], np.float32), 3)
    assert tokens.tolist() == [[1, 3, 2]]
    assert values.tolist() == [[2.0, 2.0, 1.0]]


def odd_pictures(folder: Path) -> list[Path]:
    """A picture of each kind that needs a decision: turned, see-through, of more bits, with colours from a list."""
    chance = np.random.default_rng(0)
    rgb = Image.fromarray(chance.integers(0, 256, (37, 53, 3), dtype=np.uint8))
    exif = Image.Exif()
    paths = []

    def keep(image: Image.Image, name: str, **options: Any) -> None:
        paths.append(folder / name)
        image.save(paths[-1], **options)

    for turn in range(1, 9):
        exif[0x0112] = turn
        keep(rgb, f"turned-{turn}.jpg", exif=exif)
    exif[0x0112] = 6
    keep(rgb, "turned.png", exif=exif)
    keep(rgb, "turned.tif", exif=exif)
    exif[0x0112] = 77
    keep(rgb, "turned-nonsense.jpg", exif=exif)
    keep(Image.fromarray(chance.integers(0, 256, (37, 53, 4), dtype=np.uint8)), "alpha.png")
    keep(rgb.convert("L"), "grey.png")
    keep(rgb.convert("LA"), "grey-alpha.png")
    keep(rgb.convert("P"), "palette.png")
    keep(rgb.convert("P"), "transparent.png", transparency=3)
    keep(rgb.convert("P"), "transparent.gif", transparency=3)
    keep(rgb, "colour-key.png", transparency=(0, 0, 0))
    keep(rgb.convert("CMYK"), "cmyk.jpg")
    keep(Image.fromarray(chance.integers(0, 65536, (37, 53), dtype=np.uint16)), "sixteen.png")
    keep(Image.fromarray(chance.integers(0, 300, (37, 53), dtype=np.int32)), "thirty-two.tif")
    keep(Image.fromarray(chance.random((37, 53), dtype=np.float32)), "float.tif")
    keep(rgb.convert("1"), "bits.png")
    return paths


@pytest.mark.parametrize(("squeeze", "middle"), [(False, "even"), (False, "down"), (True, "even")])
def test_every_kind_of_picture_becomes_the_same_pixels(squeeze: bool, middle: Any, tmp_path: Path) -> None:
    how = Preprocessing(24, 32 if squeeze else 27, squeeze, 3, middle, 255.0, (0.5,) * 3, (0.5,) * 3)
    facts = {"encoder": {key: getattr(how, key) for key in ("size", "resize_to", "squeeze", "resample", "middle")}}
    captioner: Any = SimpleNamespace(facts=facts)
    for path in odd_pictures(tmp_path):
        expected = how.pixels(open_picture(path.read_bytes(), path.name))
        np.testing.assert_array_equal(program.Captioner.pixels(captioner, path), expected, err_msg=path.name)


def test_documents_and_pictures_that_would_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    with pytest.raises(ValueError, match="this is no picture"):
        program.opened(tmp_path / "page.eps")
    Image.new("RGB", (20, 20)).save(tmp_path / "large.png")
    monkeypatch.setattr(program, "MAX_PIXELS", 399)
    with pytest.raises(ValueError, match="20 x 20 pixels"):
        program.opened(tmp_path / "large.png")


def test_caption_py_is_short_and_needs_four_packages_alone() -> None:
    source = Path(program.__file__).read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(source)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} - sys.stdlib_module_names == {"PIL", "numpy", "onnxruntime", "tokenizers"}
    assert len(source.splitlines()) < 300
