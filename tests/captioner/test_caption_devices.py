"""Copies of one captioner on several devices share the pictures and write what it would write alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clipcap_cli.captioner.bundle import save_bundle
from clipcap_cli.captioner.captioner import Caption, Captioner
from clipcap_cli.captioner.copies import load_copies
from clipcap_cli.embeddings import limits
from clipcap_cli.encoders import registry
from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.events import Advanced, Finished, Note, Started

MakeCaptioner = Callable[..., Captioner]


@pytest.fixture
def pictures() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (11, 9, 10, 3), np.uint8))


@pytest.fixture
def copies(make_captioner: MakeCaptioner, encoder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Captioner:
    """A bundle that is loaded three times."""
    monkeypatch.setattr(registry, "load_encoder", lambda *arguments, **options: encoder)
    save_bundle(make_captioner(beams=3), tmp_path / "bundle")
    return load_copies(tmp_path / "bundle", ["cpu", "cpu", "cpu"])


def alone(captioner: Captioner) -> Captioner:
    captioner.copies = ()
    return captioner


def test_each_device_has_a_captioner_of_its_own(copies: Captioner, tmp_path: Path) -> None:
    every = [copies, *copies.copies]
    assert len(every) == 3
    assert len({id(one.mapper) for one in every} | {id(one.language_model) for one in every}) == 6
    assert len({parameter.data_ptr() for one in every for parameter in one.language_model.parameters()}) == 3 * len([*copies.language_model.parameters()])
    assert load_copies(tmp_path / "bundle", ["cpu"]).copies == ()


@pytest.mark.parametrize("decode", [{"strategy": "beam"}, {"strategy": "sample"}, {"strategy": "greedy"}])
def test_captions_and_scores_are_those_of_one_device(decode: dict[str, Any], copies: Captioner, pictures: list[np.ndarray]) -> None:
    shared = list(copies.caption(pictures, batch_size=2, seed=7, **decode))
    assert shared == list(alone(copies).caption(pictures, batch_size=2, seed=7, **decode))
    assert len({caption.text for caption in shared if isinstance(caption, Caption)}) > 1


def test_pictures_that_cannot_be_read_keep_their_places(copies: Captioner, pictures: list[np.ndarray], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("<html>")
    mixed = [*pictures[:3], tmp_path / "bad.png", *pictures[3:], tmp_path / "nowhere.png"]
    results = list(copies.caption(mixed, batch_size=2, on_error="yield", workers=2))
    assert [number for number, result in enumerate(results) if isinstance(result, ClipcapError)] == [3, 12]
    expected = list(alone(copies).caption(mixed, batch_size=2, on_error="yield"))
    assert [result for result in results if isinstance(result, Caption)] == [result for result in expected if isinstance(result, Caption)]
    assert [str(result) for result in results if isinstance(result, ClipcapError)] == [str(result) for result in expected if isinstance(result, ClipcapError)]


def test_one_that_cannot_be_read_ends_it_if_that_was_asked_for(copies: Captioner, pictures: list[np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(ClipcapError, match=r"nowhere\.png"):
        list(copies.caption([*pictures, tmp_path / "nowhere.png"], batch_size=2))


def test_it_is_told_between_whom_pictures_are_shared_and_what_limits(copies: Captioner, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_WORTH_S", 0.0)
    heard: list[Any] = []
    assert len(list(copies.caption(pictures, batch_size=1, events=heard.append))) == 11
    assert heard[:2] == [Note("pictures are shared between cpu, cpu, cpu"), Started("caption", 11, "pictures")]
    assert sum(event.amount for event in heard if isinstance(event, Advanced)) == 11
    assert heard[-2] == Finished("caption")
    assert heard[-1].text.startswith("what limits: the captioner (it computed ")
    heard.clear()
    list(alone(copies).caption(pictures, batch_size=1, events=heard.append))
    assert heard[-1].text.startswith("what limits: the language model (the encoder waited for it ")


def test_a_device_with_too_little_memory_is_told_and_the_captions_before_are_given(
    copies: Captioner, pictures: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    second = copies.copies[0]
    written = second.caption_embeddings

    def soon_full(*arguments: Any, **settings: Any) -> list[Caption]:
        if settings["numbers"][0] < 4:
            return written(*arguments, **settings)
        raise torch.OutOfMemoryError("CUDA out of memory.")

    for one in (copies, *copies.copies):
        monkeypatch.setattr(one, "caption_embeddings", soon_full)
    given: list[Any] = []
    with pytest.raises(InputError, match="is too little for 2 pictures at once"):
        given.extend(copies.caption(pictures, batch_size=2))
    results = copies.caption(pictures, batch_size=2)
    assert [isinstance(next(results), Caption) for _ in range(4)] == [True] * 4
    with pytest.raises(InputError):
        next(results)


def test_one_captioner_with_too_little_memory_is_told_too(make_captioner: MakeCaptioner, monkeypatch: pytest.MonkeyPatch) -> None:
    captioner = make_captioner()

    def full(*arguments: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(captioner, "prefix", full)
    with pytest.raises(InputError, match="the memory of cpu is too little for 5 pictures at once"):
        captioner.caption_embeddings(np.zeros((5, 6), np.float32))


def test_the_command_writes_the_same_lines_with_several_devices(
    copies: Captioner, pictures: list[np.ndarray], clipcap: Callable[..., Any], tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number:02d}.png" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    line = ("caption", *paths, "--model", tmp_path / "bundle", "--batch-size", "2", "--format", "jsonl", "--sample", "--seed", "3")
    shared = clipcap(*line, "--devices", "cpu,cpu", "--workers", "2")
    assert shared.code == 0, shared.err
    assert "pictures are shared between cpu, cpu" in shared.err
    assert shared.out == clipcap(*line).out
    assert shared.out.count("\n") == 11
    assert clipcap(*line, "--devices", "2", "--device", "cpu").code == 2
    refused = clipcap(*line, "--devices", "2")
    assert refused.code == 3
    assert "this machine has 1 device, cpu, and 2 were asked for" in refused.err
