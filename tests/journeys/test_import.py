"""People who come from the original code: their checkpoints caption pictures."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from golden_lm import CHECKPOINTS, make_lm_folder
from journey_tools import Road
from said import Said

import clipcap_cli
from clipcap_cli.encoders import clip_package

Clipcap = Callable[..., Said]
FORMS = {"mlp_full": (64, 2), "transformer_full_old_bool": (48, 1), "linear_full_old_uint8": (40, 1)}  # numbers a picture, layers of the language model


@pytest.fixture(autouse=True)
def own_store(clipcap: Clipcap, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store for each journey, beside the one that all share."""
    monkeypatch.setenv("CLIPCAP_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def clip_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A tiny CLIP of OpenAI's whose vectors have a given size."""

    def make(size: int) -> Path:
        path = tmp_path_factory.mktemp("clip") / "tiny.pt"
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.save(clip_package.model().CLIP(size, 64, 1, 64, 16, 77, 49408, 64, 1, 1).state_dict(), path)
        return path

    return make


@pytest.mark.journey
@pytest.mark.parametrize("stem", FORMS)
def test_a_checkpoint_of_each_form_captions_pictures(stem: str, clipcap: Clipcap, road: Road, clip_of: Callable[[int], Path], tmp_path: Path) -> None:
    size, layers = FORMS[stem]
    lm = make_lm_folder(tmp_path / "lm", layers=layers)
    spec = f"openai:{clip_of(size)}"
    imported = clipcap("model", "import", CHECKPOINTS / f"{stem}.pt", "--encoder", spec, "--no-normalize", "--language-model", lm, "--name", stem)
    assert imported.code == 0, imported.err
    assert f"{stem}: {stem.partition('_')[0]}, prefix of" in imported.out
    assert f"clipcap caption PICTURE --model {stem}" in imported.err
    pictures = sorted(road.pictures.glob("*.jpg"))[:3]
    told = clipcap("caption", *pictures, "--model", stem, "--max-tokens", 12)
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    assert len(lines) == 3
    captions = list(clipcap_cli.load(stem).caption(pictures, max_tokens=12))
    assert [f"{picture}: {caption.text}" for picture, caption in zip(pictures, captions, strict=True)] == lines
    assert clipcap("model", "show", stem).out.count("imported") == 1


@pytest.mark.journey
def test_a_checkpoint_is_trained_on(clipcap: Clipcap, road: Road, clip_of: Callable[[int], Path], tmp_path: Path) -> None:
    lm, spec = make_lm_folder(tmp_path / "lm"), f"openai:{clip_of(64)}"
    settings = [
        f"encoder.name={spec}",
        f"language_model.name={lm}",
        "mapper.prefix_length=4",
        "decode.max_tokens=8",
        "train.epochs=1",
        "encoder.normalize=false",
    ]
    assert clipcap("model", "import", CHECKPOINTS / "mlp_full.pt", "--encoder", spec, "--no-normalize", "--language-model", lm, "--name", "start").code == 0
    assert clipcap("dataset", "add", road.pictures).code == 0
    trained = clipcap("train", "food", "--dataset", "shapes", "init=start", "name=tuned", "train.lr=1e-12", "language_model.tune=frozen", *settings)
    assert trained.code == 0, trained.err
    pictures = sorted(road.pictures.glob("*.jpg"))[:3]
    first, second = (clipcap("caption", *pictures, "--model", name, "--max-tokens", 8, "--stop", ".").out for name in ("start", "tuned"))
    assert first == second


@pytest.mark.journey
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("model", "import", "nothing.pt"), 3, "there is no such file"),
        (("model", "import", str(CHECKPOINTS / "mlp_full.pt")), 3, "the checkpoint does not say the encoder"),
        (("model", "import", str(CHECKPOINTS.parent / "pickles" / "hostile" / "zip_value.pt")), 3, "it asks to run posix.system, and only tensors are read"),
        (("model", "import", str(CHECKPOINTS.parent / "pickles" / "shared.pkl")), 3, "clipcap dataset add"),
        (("model", "pull", "coco-mlp"), 4, "clipcap is offline"),
        (("model", "pull", "coco"), 3, "coco-mlp"),
    ],
)
def test_bad_input_gets_a_sentence(
    arguments: tuple[str, ...], code: int, message: str, clipcap: Clipcap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = clipcap(*arguments)
    assert said.code == code
    assert message in said.err
    assert "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []
