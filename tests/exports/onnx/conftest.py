"""One captioner, exported once for all tests of what is in the folder."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_tools import FOOD, Exported, import_program

from clipcap_cli.captioner.bundle import load_bundle, save_bundle
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.captioner.mappers import Preparation, build_mapper
from clipcap_cli.embeddings.pipeline import encode_pictures
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.events import silent
from clipcap_cli.exports.onnx.exporting import export_onnx
from clipcap_cli.recipe.schema import Decode
from clipcap_cli.storage.home import Home


@pytest.fixture(scope="session")
def lively(tmp_path_factory: pytest.TempPathFactory, clip_file: Path, lm_folder: Path) -> Captioner:
    """A captioner that has learned nothing, yet says something else of each picture."""
    home = Home(tmp_path_factory.mktemp("lively") / "home")
    encoder = load_encoder(f"openai:{clip_file}", home=home, device="cpu", precision="fp32")
    language_model = load_language_model(str(lm_folder), home=home)
    torch.manual_seed(1)
    for parameter in language_model.model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    language_model.tuned = True
    mapper = build_mapper("mlp", embedding_size=encoder.embedding_size, lm_width=language_model.width, prefix_length=4)
    for parameter in mapper.parameters():
        parameter.data *= 5  # else it would say nearly the same of all
    vectors = torch.stack([torch.as_tensor(vector) for _, vector in encode_pictures(FOOD[:24], encoder)])
    captioner = Captioner(
        encoder_spec=encoder.spec,
        encoder_fingerprint=encoder.fingerprint,
        preparation=Preparation.fitted(vectors, normalize=True),
        mapper=mapper.eval().requires_grad_(False),
        language_model=language_model,
        decode=Decode.model_validate({"beams": 3, "max_tokens": 12}),
        home=home,
    )
    save_bundle(captioner, home.models / "lively")
    return load_bundle(home.models / "lively", home=home, device="cpu")


@pytest.fixture(scope="session")
def exported(lively: Captioner, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    folder = tmp_path_factory.mktemp("onnx") / "lively"
    assert lively.home is not None
    return Exported(lively.home.models / "lively", lively, export_onnx(lively, folder, name="lively", events=silent))


@pytest.fixture(scope="session")
def program(exported: Exported) -> ModuleType:
    """The caption.py of the folder, imported."""
    return import_program(exported.folder)


@pytest.fixture
def in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders of torch compute in fp32, as graphs do, on every processor."""
    monkeypatch.setattr("clipcap_cli.encoders.precision._for_this_cpu", lambda: ("fp32", "the test asks for it"))
