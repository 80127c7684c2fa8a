import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mean_colours import jpeg_of
from PIL import Image

from clipcap_cli.datasets.pictures import open_picture
from clipcap_cli.embeddings.pipeline import embed_dataset, encode_pictures
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.errors import InputError, MissingError, StoreError
from clipcap_cli.events import Advanced, Finished, Started
from clipcap_cli.storage.hashing import image_id_of


@dataclass(frozen=True)
class Pictures:
    """As much of a dataset as embedding looks at."""

    home: object
    paths: tuple[Path, ...]

    def images(self, split=None):
        return [SimpleNamespace(image_id=image_id_of(path.read_bytes()), path=path, name=path.name) for path in self.paths]

    def image_ids(self, split=None):
        return ids_of(self.images())


def ids_of(images):
    return np.array([image.image_id for image in images], "S32")


@pytest.fixture
def files(jpegs, tmp_path):
    paths = [tmp_path / f"{number:02d} é\n.jpg" for number in range(len(jpegs))]
    for path, data in zip(paths, jpegs, strict=True):
        path.write_bytes(data)
    return paths


@pytest.fixture
def dataset(home, files):
    """The pictures as they were when they were added."""
    pictures = Pictures(home, tuple(files))
    images = pictures.images()
    return SimpleNamespace(home=home, images=lambda: images, image_ids=lambda split: ids_of(images))


def expected_of(jpegs, encoder):
    return encoder.encode(np.stack([encoder.preprocess(open_picture(data, "")) for data in jpegs]))


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (3, 4), (7, 2), (20, None), (64, 1)])
def test_vectors_come_in_the_order_of_the_pictures(files, jpegs, encoder, batch_size, workers):
    expected = expected_of(jpegs, encoder)
    results = list(encode_pictures(files, encoder, batch_size=batch_size, workers=workers))
    assert [number for number, _ in results] == list(range(20))
    assert np.array_equal(np.stack([vector for _, vector in results]), expected)


def test_paths_bytes_images_and_arrays_give_the_same_vector(encoder, tmp_path):
    image = Image.new("RGB", (9, 7), (10, 200, 30))
    image.save(tmp_path / "a.png")
    array = np.asarray(image)
    opaque = np.dstack([array, np.full((7, 9), 255, np.uint8)])
    sources = [tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(), image, Image.open(tmp_path / "a.png"), array, opaque]
    vectors = [vector.tolist() for _, vector in encode_pictures(sources, encoder)]
    assert vectors == [[10.0, 200.0, 30.0] * 2] * len(sources)
    sources[4].close()


def test_pictures_are_encoded_upright(encoder):
    left_dark = Image.new("RGB", (40, 40), "white")
    left_dark.paste("black", (0, 0, 20, 40))
    exif = Image.Exif()
    exif[274] = 3  # upside down: what is at the left belongs at the right
    (_, plain), (_, turned) = encode_pictures([jpeg_of(left_dark), jpeg_of(left_dark, exif=exif)], encoder)
    assert plain[3] < 5
    assert turned[3] > 250


def test_a_picture_that_cannot_be_read_gives_its_error_in_its_place(files, jpegs, encoder, tmp_path):
    truncated = jpegs[0][: len(jpegs[0]) // 2]
    floats = np.zeros((4, 4, 3))
    sources = [files[0], tmp_path / "nowhere.jpg", b"<html></html>", truncated, floats, Image.new("RGB", (1, 500)), files[1]]
    results = dict(encode_pictures(sources, encoder, batch_size=2))
    assert [isinstance(results[number], InputError) for number in range(7)] == [False, True, True, True, True, False, False]
    assert "nowhere.jpg: this picture cannot be read: No such file" in str(results[1])
    assert "picture 3: this is a web page" in str(results[2])
    assert "picture 4" in str(results[3])
    assert "float64 [4, 4, 3] is no picture" in str(results[4])
    assert np.array_equal(results[6], expected_of(jpegs[1:2], encoder)[0])


def test_however_many_pictures_there_are_only_a_few_are_taken_at_a_time(jpegs, encoder):
    taken = []

    def sources():
        for number in range(500):
            taken.append(number)
            yield jpegs[number % 20]

    results = encode_pictures(sources(), encoder, batch_size=4, workers=2)
    furthest = 0
    for number, _ in results:
        furthest = max(furthest, len(taken) - number)
    assert len(taken) == 500
    assert furthest <= 4 * 6


def test_pictures_are_decoded_while_others_are_encoded(jpegs, encoder):
    decoding, seen = threading.Event(), []
    encode, preprocess = encoder.encode, encoder.preprocess

    def slow_encode(batch):
        decoding.clear()
        seen.append(decoding.wait(2) if len(seen) < 2 else True)
        return encode(batch)

    def noted_preprocess(image):
        time.sleep(0.005)
        decoding.set()
        return preprocess(image)

    encoder.encode, encoder.preprocess = slow_encode, noted_preprocess
    assert len(list(encode_pictures(jpegs, encoder, batch_size=4, workers=1))) == 20
    assert seen[:2] == [True, True]


def test_stopping_half_way_leaves_no_thread_behind(jpegs, encoder):
    before = threading.active_count()
    results = encode_pictures(jpegs * 20, encoder, batch_size=4)
    assert next(results)[0] == 0
    results.close()
    assert threading.active_count() == before


def test_an_encoder_that_fails_ends_it(jpegs, encoder):
    def encode(batch):
        raise MissingError("no weights")

    encoder.encode = encode
    with pytest.raises(MissingError, match="no weights"):
        list(encode_pictures(jpegs, encoder))


def test_embedding_fills_the_store_and_embedding_again_does_nothing(dataset, files, jpegs, encoder):
    events = []
    done = embed_dataset(dataset, encoder, batch_size=6, events=events.append)
    ids = [image.image_id for image in dataset.images()]
    assert (done.new, done.reused, done.problems) == (20, 0, ())
    assert events == [Started("embed", 20, "pictures"), *[Advanced("embed")] * 20, Finished("embed")]
    encoder.batches.clear()
    for path in files:
        path.unlink()
    again = embed_dataset(dataset, encoder, events=events.append)
    assert (again.new, again.reused, again.problems) == (0, 20, ())
    assert encoder.batches == []
    assert len(events) == 22
    assert np.allclose(again.store.gather(ids), expected_of(jpegs, encoder), rtol=1e-3)


def test_two_datasets_share_what_they_have_in_common(home, files, encoder):
    assert embed_dataset(Pictures(home, tuple(files[:12])), encoder).new == 12
    second = embed_dataset(Pictures(home, tuple(files[5:])), encoder)
    assert (second.new, second.reused) == (8, 7)
    assert len(second.store) == 20


def test_the_same_picture_twice_in_a_dataset_is_embedded_once(home, files, encoder):
    assert embed_dataset(Pictures(home, (files[0], files[0])), encoder).new == 1


def test_changed_and_unreadable_pictures_are_named_and_the_others_embedded(dataset, files, jpegs, encoder):
    files[3].write_bytes(jpegs[4])
    files[5].unlink()
    done = embed_dataset(dataset, encoder, batch_size=4)
    assert (done.new, len(done.store)) == (18, 18)
    assert [(problem.kind, problem.where) for problem in done.problems] == [("changed", str(files[3])), ("unreadable", str(files[5]))]
    assert "has changed since it was added" in done.problems[0].message
    assert all(problem.remedy for problem in done.problems)
    files[3].write_bytes(jpegs[3])
    again = embed_dataset(dataset, encoder)
    assert (again.new, again.reused, len(again.problems)) == (1, 18, 1)


@pytest.mark.parametrize("failure", [MissingError("no weights"), KeyboardInterrupt(), StoreError("full")])
def test_what_was_embedded_before_it_broke_off_is_kept(dataset, encoder, home, failure):
    encode = encoder.encode

    def breaks_off(batch):
        if len(encoder.batches) == 3:
            raise failure
        return encode(batch)

    encoder.encode = breaks_off
    with pytest.raises(type(failure)):
        embed_dataset(dataset, encoder, batch_size=4)
    assert 8 <= len(open_store(home, encoder)) <= 12
    encoder.encode = encode
    rest = embed_dataset(dataset, encoder)
    assert rest.new + rest.reused == 20
    assert rest.new <= 12


def test_vectors_are_committed_while_it_runs(dataset, encoder, home, monkeypatch):
    monkeypatch.setattr("clipcap_cli.embeddings.pipeline._COMMIT_S", 0.0)
    sizes = []

    def listen(event):
        if isinstance(event, Advanced):
            sizes.append(len(open_store(home, encoder)))

    embed_dataset(dataset, encoder, batch_size=4, events=listen)
    assert sizes == list(range(20))
