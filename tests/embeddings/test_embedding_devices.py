"""Copies of one encoder on several devices share the pictures, and it is told what limits."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mean_colours import MeanColours
from PIL import Image

from clipcap_cli.embeddings import limits
from clipcap_cli.embeddings.limits import Effort, Shares, what_limits
from clipcap_cli.embeddings.pipeline import embed_dataset, encode_pictures
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.encoders.registry import load_encoders
from clipcap_cli.errors import InputError, MissingError
from clipcap_cli.events import Note
from clipcap_cli.storage.hashing import image_id_of


class AcceleratorError(RuntimeError):
    """As torch's of this name, which not every release has."""


class Copy(MeanColours):
    """A copy on a device of its own that takes its time."""

    def __init__(self, device="cpu", *, decode_s=0.0, copy_s=0.0, encode_s=0.0, breaks=None):
        super().__init__()
        self.device, self.copied_s = device, 0.0
        self._decode_s, self._copy_s, self._encode_s, self._breaks = decode_s, copy_s, encode_s, breaks

    def preprocess(self, image):
        time.sleep(self._decode_s)
        return super().preprocess(image)

    def encode(self, batch):
        if self._breaks and self.batches:
            raise self._breaks
        time.sleep(self._copy_s + self._encode_s)
        self.copied_s += self._copy_s
        return super().encode(batch)


@pytest.fixture
def dataset(home, jpegs, tmp_path):
    paths = [tmp_path / f"{number:02d}.jpg" for number in range(len(jpegs))]
    for path, data in zip(paths, jpegs, strict=True):
        path.write_bytes(data)
    images = [SimpleNamespace(image_id=image_id_of(data), path=path, name=path.name) for path, data in zip(paths, jpegs, strict=True)]
    ids = np.array([image.image_id for image in images], "S32")
    return SimpleNamespace(home=home, name="made", images=lambda: images, image_ids=lambda split: ids)


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_several_devices_give_the_vectors_of_one_in_the_order_of_the_pictures(copies, jpegs):
    alone = [vector for _, vector in encode_pictures(jpegs, MeanColours(), batch_size=3)]
    shared = list(encode_pictures(jpegs, [Copy() for _ in range(copies)], batch_size=3, workers=2))
    assert [number for number, _ in shared] == list(range(20))
    assert np.array_equal([vector for _, vector in shared], alone)


def test_the_faster_device_takes_more_and_the_order_stays(jpegs):
    slow, fast = Copy(encode_s=0.1), Copy(encode_s=0.005)
    assert [number for number, _ in encode_pictures(jpegs, [slow, fast], batch_size=2)] == list(range(20))
    assert len(slow.batches) + len(fast.batches) == 10
    assert len(fast.batches) > len(slow.batches) > 0


def test_both_devices_compute_at_the_same_time(jpegs):
    both = threading.Barrier(2, timeout=5)

    class Meets(Copy):
        def encode(self, batch):
            both.wait()
            return super().encode(batch)

    assert len(list(encode_pictures(jpegs, [Meets(), Meets()], batch_size=5))) == 20


def test_a_picture_that_cannot_be_read_keeps_its_place_whichever_device_takes_it(jpegs):
    sources = [*jpegs[:5], b"<html></html>", *jpegs[5:9], np.zeros((4, 4, 3)), jpegs[9]]
    results = dict(encode_pictures(sources, [Copy(encode_s=0.01), Copy()], batch_size=3))
    assert [number for number in results if isinstance(results[number], InputError)] == [5, 10]
    assert np.array_equal(results[11], next(encode_pictures([jpegs[9]], MeanColours()))[1])


def test_for_more_devices_and_workers_more_pictures_are_taken_ahead_but_only_a_few(jpegs):
    taken = []

    def sources():
        for number in range(400):
            taken.append(number)
            yield jpegs[number % 20]

    furthest = 0
    for number, _ in encode_pictures(sources(), [Copy(), Copy()], batch_size=4, workers=3):
        furthest = max(furthest, len(taken) - number)
    assert len(taken) == 400
    assert furthest <= 4 * (2 + 2 * 2 + 2)  # decoded for the two devices and two batches beyond, and two batches a device


def test_small_batches_leave_no_decoding_thread_without_work(jpegs):
    at_once, most, counting = 0, 0, threading.Lock()

    class Counts(MeanColours):
        def preprocess(self, image):
            nonlocal at_once, most
            with counting:
                at_once += 1
                most = max(most, at_once)
            time.sleep(0.02)
            with counting:
                at_once -= 1
            return super().preprocess(image)

    assert len(list(encode_pictures(jpegs, Counts(), batch_size=1, workers=8))) == 20
    assert most > 4


def test_stopping_half_way_leaves_no_thread_of_any_device(jpegs):
    before = threading.active_count()
    results = encode_pictures(jpegs * 20, [Copy(), Copy(), Copy()], batch_size=4)
    assert next(results)[0] == 0
    results.close()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "the memory of cuda:1 is too little for 4 pictures at once"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), "the memory of cuda:1 is too little"),
        (AcceleratorError("CUDA error: unspecified launch failure\nCompile with"), "cuda:1 broke down: CUDA error: unspecified launch failure"),
    ],
)
def test_a_device_that_fails_is_told_in_a_sentence_and_what_came_before_is_kept(failure, message, dataset, home):
    good, bad = Copy("cuda:0", encode_s=0.05), Copy("cuda:1", breaks=failure)
    with pytest.raises(InputError, match=message) as caught:
        embed_dataset(dataset, [good, bad], batch_size=4)
    assert caught.value.hint
    kept = len(open_store(home, good))
    assert kept % 4 == 0
    assert 4 <= kept <= 16
    rest = embed_dataset(dataset, good)
    assert (rest.new, rest.reused) == (20 - kept, kept)


def test_another_error_of_a_device_stays_what_it_is(jpegs):
    with pytest.raises(RuntimeError, match="a bug"):
        list(encode_pictures(jpegs, [Copy(encode_s=0.05), Copy(breaks=RuntimeError("a bug"))], batch_size=2))


def test_an_encoder_that_is_not_there_is_looked_for_once(jpegs):
    looked_for = []

    class Missing(Copy):
        def encode(self, batch):
            looked_for.append(len(batch))
            raise MissingError("its weights are not here")

    with pytest.raises(MissingError):
        list(encode_pictures(jpegs, Missing(), batch_size=2))
    assert looked_for == [2]


@pytest.mark.parametrize(
    ("copy", "told"),
    [
        ({"decode_s": 0.01}, "what limits: decoding (the encoder waited "),
        ({"copy_s": 0.03, "encode_s": 0.002}, "what limits: copies to the device ("),
        ({"encode_s": 0.03}, "what limits: the encoder (it computed "),
    ],
)
def test_what_limits_is_measured_and_told(copy, told, dataset, monkeypatch):
    monkeypatch.setattr(limits, "_WORTH_S", 0.01)
    limit = embed_dataset(dataset, [Copy(**copy), Copy(**copy)], batch_size=2, workers=1).limit
    assert limit is not None
    assert limit.startswith(told)
    assert int(limit.split(" %")[0].split()[-1].strip("(")) > 50


def test_results_that_are_taken_slowly_limit_too(jpegs, monkeypatch):
    monkeypatch.setattr(limits, "_WORTH_S", 0.01)
    effort = Effort(taker="the language model")
    for _ in encode_pictures(jpegs, Copy(), batch_size=2, effort=effort):
        time.sleep(0.005)
    note = effort.note()
    assert note is not None
    assert note.startswith("what limits: the language model (the encoder waited for it ")


def test_of_a_few_seconds_nothing_is_said(dataset):
    assert embed_dataset(dataset, Copy(), batch_size=4).limit is None
    assert embed_dataset(dataset, Copy()).limit is None


def test_building_the_network_is_no_part_of_what_is_measured(jpegs):
    class Builds(Copy):
        def encode(self, batch):
            if not self.batches:
                time.sleep(0.3)
            return super().encode(batch)

    effort = Effort()
    list(encode_pictures(jpegs, Builds(), batch_size=2, effort=effort))
    shares = effort.shares()
    assert shares is not None
    assert shares.seconds < 0.3
    assert shares.decoding + shares.copying + shares.computing + shares.taking == pytest.approx(1, abs=0.01)


def test_more_workers_are_recommended_only_while_there_are_cores_for_them(monkeypatch):
    monkeypatch.setattr(limits, "cores", lambda: 8)
    shares = Shares(decoding=0.62, copying=0.0, computing=0.3, taking=0.08, decoders_waited=0.0, seconds=60)
    expected = "what limits: decoding (the encoder waited 62 % of the time); more --workers or smaller pictures would help"
    assert what_limits(shares, "the encoder", "", 4) == expected
    assert what_limits(shares, "the encoder", "", 8).endswith("; more cores, a faster disk or smaller pictures would help")


def test_copies_are_made_in_the_precision_of_the_first(home, monkeypatch):
    made = []

    def load(spec, **settings):
        made.append((settings["device"], settings["precision"]))
        return SimpleNamespace(precision="bf16")

    monkeypatch.setattr("clipcap_cli.encoders.registry.load_encoder", load)
    heard = []
    assert len(load_encoders("efficientnet-lite0", ["cuda:0", "cpu"], home=home, events=heard.append)) == 2
    assert made == [("cuda:0", "auto"), ("cpu", "bf16")]
    assert heard == [Note("pictures are shared between cuda:0, cpu")]
    made.clear()
    load_encoders("efficientnet-lite0", ["auto"], home=home, events=heard.append)
    assert (made, len(heard)) == ([("auto", "auto")], 1)


def test_networks_of_copies_are_built_one_after_the_other(home):
    from torch import nn

    from clipcap_cli.encoders.network import NetworkEncoder
    from clipcap_cli.encoders.openai import PREPROCESSING

    building, overlapped = threading.Lock(), []

    def build():
        overlapped.append(not building.acquire(blocking=False))
        time.sleep(0.05)
        building.release()
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    facts = {"spec": "test:mean", "fingerprint": "0", "embedding_size": 3, "preprocessing": PREPROCESSING, "precision": "fp32", "build": build}
    copies = [NetworkEncoder(device=torch.device("cpu"), **facts) for _ in range(3)]
    pictures = [Image.new("RGB", (224, 224), (number, 0, 0)) for number in range(6)]
    assert len(list(encode_pictures(pictures, copies, batch_size=1))) == 6
    assert overlapped
    assert not any(overlapped)


def test_a_mistake_of_our_own_while_decoding_comes_out_and_leaves_no_thread(jpegs):
    class Breaks(MeanColours):
        def preprocess(self, image):
            raise ZeroDivisionError("a bug")

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        list(encode_pictures(jpegs, [Breaks(), Breaks()], batch_size=3))
    assert threading.active_count() == before


def test_stopping_while_pictures_are_decoded_does_not_wait_for_those_that_never_will_be(jpegs):
    results = encode_pictures(jpegs * 50, [Copy(decode_s=0.05), Copy(decode_s=0.05)], batch_size=4, workers=1)
    next(results)
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 2
