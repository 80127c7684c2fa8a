import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from clipcap_cli.encoders import registry
from clipcap_cli.encoders.openai_models import OPENAI_MODELS
from clipcap_cli.encoders.registry import check_spec, known_encoders, load_encoder
from clipcap_cli.errors import InputError, MissingError


@pytest.mark.parametrize("spec", ["efficientnet-lite0", "hf:google/siglip-base-patch16-224", "hf:gpt2", *(f"openai:{name}" for name in OPENAI_MODELS)])
def test_specs_that_can_name_an_encoder_pass(spec):
    check_spec(spec)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("openai:ViT-B32", "Did you mean 'openai:ViT-B/32'"),
        ("ViT-L/14", "Did you mean 'openai:ViT-L/14'"),
        ("efficientnet-lite1", "Did you mean 'efficientnet-lite0'"),
        ("efficientnet-lite0:b", "Did you mean 'efficientnet-lite0'"),
        ("openai", "there is no encoder named 'openai'"),
        ("hf:", "there is no encoder named 'hf:'"),
        ("", "there is no encoder named ''"),
        ("openai:./nowhere.pt", "there is no file './nowhere.pt'"),
        ("hf:./nowhere", "'./nowhere' is not there"),
        ("hf:a b", "'a b' is not there"),
    ],
)
def test_specs_that_cannot_are_refused_with_what_was_probably_meant(spec, said):
    with pytest.raises(InputError) as raised:
        check_spec(spec)
    assert said in str(raised.value)


def test_all_encoders_with_names_are_known_with_their_sizes(home):
    sizes = {info.spec: (info.embedding_size, info.image_size) for info in known_encoders(home)}
    assert sizes == {
        "efficientnet-lite0": (1280, 224),
        "openai:RN50": (1024, 224),
        "openai:RN101": (512, 224),
        "openai:RN50x4": (640, 288),
        "openai:RN50x16": (768, 384),
        "openai:RN50x64": (1024, 448),
        "openai:ViT-B/32": (512, 224),
        "openai:ViT-B/16": (512, 224),
        "openai:ViT-L/14": (768, 224),
        "openai:ViT-L/14@336px": (768, 336),
    }


def test_what_is_known_is_known_without_torch():
    code = "import sys; from clipcap_cli.encoders import registry as r; r.known_encoders(); r.check_spec('openai:RN50'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Other:
    def __init__(self, name, settings):
        self.spec, self.settings = f"other:{name}", settings


def other_factory(name, **settings):
    return Other(name, settings)


def broken_factory(name, **settings):
    raise AssertionError


def test_a_package_can_bring_a_family_of_its_own(home, monkeypatch):
    points = [EntryPoint("other", f"{__name__}:other_factory", registry.GROUP), EntryPoint("openai", f"{__name__}:broken_factory", registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    encoder = load_encoder("other:x:y", home=home, device="cpu")
    assert encoder.spec == "other:x:y"
    assert encoder.settings["home"] == home
    check_spec("other")
    check_spec("openai:RN50")  # our own names stay ours


def test_a_family_that_cannot_be_loaded_is_named(home, monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda group: [EntryPoint("other", "no_such_module:factory", registry.GROUP)])
    with pytest.raises(MissingError, match="'other' cannot be loaded"):
        load_encoder("other", home=home)
