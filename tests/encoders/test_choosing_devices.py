import pytest
import torch

from clipcap_cli.encoders.devices import choose_devices
from clipcap_cli.errors import InputError, MissingError, UsageError


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


ALL = ["cuda:0", "cuda:1", "cuda:2", "cuda:3"]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("auto", ALL),
        (2, ALL[:2]),
        ("4", ALL),
        ("cuda:2,cuda:0", ["cuda:2", "cuda:0"]),
        (["cuda:1", "cpu"], ["cuda:1", "cpu"]),
        ("cuda, cuda:3", ["cuda:0", "cuda:3"]),
        ("cpu,cpu", ["cpu", "cpu"]),
        (None, ["auto"]),
    ],
)
def test_devices_are_a_number_or_all_or_a_list(wanted, chosen, four_gpus):
    assert choose_devices(wanted) == chosen


def test_without_accelerators_all_is_one_cpu():
    assert choose_devices("auto") == choose_devices(1) == ["cpu"]


@pytest.mark.parametrize("wanted", ["5", 0, -1])
def test_more_than_there_are_is_told_with_what_there_is(wanted, four_gpus):
    with pytest.raises(InputError, match=f"this machine has 4 devices, cuda:0, cuda:1, cuda:2, cuda:3, and {wanted} were asked for"):
        choose_devices(wanted)


def test_a_device_that_is_not_there_is_told_with_what_there_is(four_gpus):
    with pytest.raises(MissingError, match="has no 'cuda:7'") as caught:
        choose_devices("cuda:0,cuda:7")
    assert caught.value.hint == "Here there is: cuda:0, cuda:1, cuda:2, cuda:3, cpu."


@pytest.mark.parametrize("wanted", ["gpu", "cuda:0,,cuda:1", "auto,cpu", "2,3", []])
def test_what_is_no_device_is_refused(wanted, four_gpus):
    with pytest.raises(InputError, match="device"):
        choose_devices(wanted)


def test_one_device_and_several_exclude_each_other(four_gpus):
    assert choose_devices(None, device="cuda:1") == ["cuda:1"]
    with pytest.raises(UsageError, match="exclude each other"):
        choose_devices("auto", device="cuda:1")
