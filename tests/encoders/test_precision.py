import pytest
import torch

from clipcap_cli.encoders.precision import choose_device, choose_precision
from clipcap_cli.errors import InputError, MissingError

CPU = torch.device("cpu")


def has(monkeypatch, *features, cpu_name="Intel Xeon"):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name in features, raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": cpu_name}, raising=False)


@pytest.mark.parametrize(
    ("cpu_name", "features", "chosen"),
    [
        ("Intel Xeon", ["_is_amx_tile_supported", "_is_avx512_bf16_supported"], ("bf16", "this CPU has AMX")),
        ("AMD EPYC 9R14", ["_is_avx512_bf16_supported"], ("bf16", "this CPU has AVX-512 BF16")),
        ("Intel Xeon", ["_is_avx512_bf16_supported"], ("fp32", "without AMX, this CPU is faster in fp32 than in bf16")),
        ("AMD Ryzen 7 5800X", [], ("fp32", "this CPU has neither AMX nor AVX-512 BF16")),
    ],
)
def test_bf16_is_chosen_where_the_cpu_is_faster_with_it(monkeypatch, cpu_name, features, chosen):
    has(monkeypatch, *features, cpu_name=cpu_name)
    assert choose_precision("auto", CPU) == chosen


def test_a_torch_that_cannot_tell_gets_fp32(monkeypatch):
    has(monkeypatch, "_is_avx512_bf16_supported", cpu_name="AMD EPYC 9R14")
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert choose_precision("auto", CPU)[0] == "fp32"
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert choose_precision("auto", CPU)[0] == "fp32"


@pytest.mark.parametrize(("capability", "chosen"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_bf16_is_chosen_on_gpus_that_have_it(monkeypatch, capability, chosen):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", torch.device("cuda"))[0] == chosen


def test_what_is_asked_for_is_taken(monkeypatch):
    has(monkeypatch)
    assert choose_precision("bf16", CPU) == ("bf16", "it was asked for")
    assert choose_precision("fp32", CPU)[0] == "fp32"
    with pytest.raises(InputError, match="'int8'"):
        choose_precision("int8", CPU)


def test_devices_are_what_they_are_called(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device() == CPU
    assert choose_device("cpu") == CPU
    with pytest.raises(MissingError, match="'cuda:1'"):
        choose_device("cuda:1")
    for name in ("gpu", "meta", ""):
        with pytest.raises(InputError):
            choose_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device().type == "cuda"
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(MissingError, match="'cuda:2'"):
        choose_device("cuda:2")
