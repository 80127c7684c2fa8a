"""Small captioners in a store, whose every part lies in a file that can be taken away."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_lm import make_lm_folder
from PIL import Image

from clipcap_cli.captioner.bundle import save_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.captioner.mappers import Preparation, build_mapper
from clipcap_cli.encoders import clip_package
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.storage.home import Home

EMBEDDING_SIZE = 24


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP in OpenAI's format."""
    path = tmp_path_factory.mktemp("clip") / "tiny.pt"
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(clip_package.model().CLIP(EMBEDDING_SIZE, 64, 1, 64, 16, 77, 49408, 64, 1, 1).half().state_dict(), path)
    return path


@pytest.fixture(scope="session")
def hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny image tower of transformers."""
    import transformers

    folder = tmp_path_factory.mktemp("hf") / "tower"
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    model = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(projection_dim=EMBEDDING_SIZE, **sizes))
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    transformers.utils.logging.enable_progress_bar()
    (folder / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}')
    (folder / "notes.md").write_text("private")
    return folder


@pytest.fixture(scope="session")
def lm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lm_folder(tmp_path_factory.mktemp("lm") / "words")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Three pictures of noise."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    generator = np.random.default_rng(0)
    paths = [folder / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def make_model(home: Home, clip_file: Path, lm_folder: Path) -> Callable[..., Captioner]:
    """A function that makes an untrained captioner, which is the model `name` of the store."""

    def make(
        name: str = "words", *, encoder: str | None = None, language_model: str | None = None, kind: str = "mlp", tuned: bool = False, **mapper: int
    ) -> Captioner:
        eyes = load_encoder(encoder or f"openai:{clip_file}", home=home, device="cpu", precision="fp32")
        lm = load_language_model(language_model or str(lm_folder), home=home)
        torch.manual_seed(1)
        if tuned:
            lm.tuned = True
            for parameter in lm.model.parameters():
                parameter.data += 0.1 * torch.randn_like(parameter)
        sizes = {"prefix_length": 4, "clip_length": 2, "layers": 2, "heads": 8, **mapper}
        captioner = Captioner(
            encoder_spec=eyes.spec,
            encoder_fingerprint=eyes.fingerprint,
            preparation=Preparation(False),
            mapper=build_mapper(kind, embedding_size=eyes.embedding_size, lm_width=lm.width, **sizes),
            language_model=lm,
            decode=Decode.model_validate({"beams": 2, "max_tokens": 8}),
            home=home,
        )
        save_bundle(captioner, home.models / name)
        return captioner

    return make
