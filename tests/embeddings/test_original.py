from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mean_colours import MeanColours
from PIL import Image

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.original_pickles import read_original
from clipcap_cli.embeddings.original import export_original, import_embeddings
from clipcap_cli.embeddings.pipeline import embed_dataset
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.errors import InputError
from clipcap_cli.storage.home import Home

FOLDER = Path(__file__).parent.parent / "data" / "golden" / "pickles"


class Sixteen:
    """An encoder of the golden files' size; it encodes nothing."""

    spec, fingerprint, embedding_size, image_size, precision = "test:16", "16" * 8, 16, 8, "fp32"

    def preprocess(self, image: Any) -> Any:
        raise AssertionError("nothing is encoded")

    encode = preprocess


@pytest.mark.parametrize("name", ["oscar_split_ViT-B_32_train", "conceptual_clip_separate_train", "shared", "food_pandas1", "strided", "long"])
def test_embeddings_of_a_file_without_pictures_go_to_the_captions_they_belong_to(name: str, tmp_path: Path) -> None:
    home, source = Home(tmp_path / "home"), tmp_path / f"{name}.pkl"
    source.write_bytes((FOLDER / source.name).read_bytes())
    dataset, data = add_dataset(source, home=home), read_original(source)
    imported = import_embeddings(dataset, source, Sixteen())
    assert (imported.new, imported.reused, imported.unmatched, imported.problems) == (dataset.pictures, 0, (), ())
    assert import_embeddings(dataset, source, Sixteen()).reused == dataset.pictures
    expected: dict[str, list[np.ndarray]] = {}
    for caption in data.captions:
        expected.setdefault(" ".join(caption.text.split()), []).append(data.vectors[caption.row])
    for image in dataset.images():
        [vector] = imported.store.gather([image.image_id])
        for caption in image.captions:
            assert any(np.allclose(vector, known, atol=1e-3) for known in expected[caption])


def test_pictures_without_files_say_where_their_embeddings_come_from(tmp_path: Path) -> None:
    source = tmp_path / "shared.pkl"
    source.write_bytes((FOLDER / "shared.pkl").read_bytes())
    dataset = add_dataset(source, home=Home(tmp_path / "home"))
    embedded = embed_dataset(dataset, Sixteen())
    assert (embedded.new, embedded.reused, len(embedded.problems)) == (0, 0, dataset.pictures)
    assert "clipcap embed shared --import" in embedded.problems[0].remedy
    import_embeddings(dataset, source, Sixteen())
    assert (embed_dataset(dataset, Sixteen()).reused, embed_dataset(dataset, Sixteen()).problems) == (dataset.pictures, ())


@pytest.fixture
def colours(tmp_path: Path) -> Any:
    """Four pictures with two captions each, and a data pickle of theirs."""
    folder = tmp_path / "colours"
    folder.mkdir()
    rows, vectors, encoder = [], [], MeanColours()
    for number, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 200, 30)]):
        image = Image.new("RGB", (32, 24), colour)
        image.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"picture {number}\nnumber {number}\n")
        vectors.append(encoder.encode(encoder.preprocess(image)[None])[0])
        rows += [{"image_id": str(number), "id": len(rows), "caption": f"picture {number}", "clip_embedding": number}]
    path = tmp_path / "colours.pkl"
    path.write_bytes(pickle.dumps({"clip_embedding": torch.from_numpy(np.stack(vectors)), "captions": rows}))
    return add_dataset(folder, home=Home(tmp_path / "home")), path, encoder


def test_embeddings_are_given_to_pictures_by_name_and_compared_with_what_the_encoder_makes(colours: Any) -> None:
    dataset, path, encoder = colours
    imported = import_embeddings(dataset, path, encoder)
    assert (imported.new, imported.unmatched) == (4, ())
    assert embed_dataset(dataset, encoder).reused == 4


def test_embeddings_of_another_encoder_are_refused_unless_one_insists(colours: Any) -> None:
    dataset, path, encoder = colours
    data = pickle.loads(path.read_bytes())
    data["clip_embedding"] = torch.randn(data["clip_embedding"].shape, generator=torch.Generator().manual_seed(1))
    path.write_bytes(pickle.dumps(data))
    with pytest.raises(InputError, match="the embeddings are not those of") as caught:
        import_embeddings(dataset, path, encoder)
    assert "--no-check" in str(caught.value.hint)
    assert len(open_store(dataset.home, encoder)) == 0
    assert import_embeddings(dataset, path, encoder, check=False).new == 4


def test_what_cannot_be_taken_is_named_and_the_rest_is_taken(colours: Any) -> None:
    dataset, path, encoder = colours
    data = pickle.loads(path.read_bytes())
    data["clip_embedding"][0] = 0
    data["clip_embedding"][1, 0] = float("nan")
    data["captions"] = [
        *data["captions"][:3],
        {"image_id": "2", "id": 9, "caption": "x", "clip_embedding": 3},
        {"image_id": "7", "id": 1, "caption": "x", "clip_embedding": 99},
    ]
    path.write_bytes(pickle.dumps(data))
    imported = import_embeddings(dataset, path, encoder)
    assert imported.new == 1
    assert imported.unmatched == ("0.png", "1.png", "3.png")
    assert [problem.message.partition(",")[0] for problem in imported.problems] == [
        "embedding 0 is all zeros",
        "embedding 1 holds what is no number",
        "embedding 3 is another than embedding 2",
        "it names embedding 99",
    ]


def test_an_encoder_of_another_size_is_refused(colours: Any) -> None:
    dataset, path, _ = colours
    with pytest.raises(InputError, match=r"its embeddings have \d+ numbers, and those of test:16 have 16"):
        import_embeddings(dataset, path, Sixteen())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    captions=st.lists(st.lists(st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=20), min_size=1, max_size=3), min_size=1, max_size=6),
    seed=st.integers(0, 999),
)
def test_what_is_written_for_the_original_is_what_is_read_back(captions: list[list[str]], seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("round")
    vectors = torch.randn(len(captions), 16, generator=torch.Generator().manual_seed(seed)).half()
    rows = [{"image_id": str(n), "id": 0, "caption": f"x {text}", "clip_embedding": n} for n, texts in enumerate(captions) for text in texts]
    first, second = folder / "first.pkl", folder / "second.pkl"
    first.write_bytes(pickle.dumps({"clip_embedding": vectors, "captions": rows}))
    dataset = add_dataset(first, home=Home(folder / "home"))
    import_embeddings(dataset, first, Sixteen())
    counts = export_original(dataset, Sixteen(), second)
    assert counts == (len(captions), len(rows))
    before, after = read_original(first), read_original(second)

    def told(data: Any) -> list[tuple[bytes, str]]:
        return sorted((data.vectors[caption.row].tobytes(), " ".join(caption.text.split())) for caption in data.captions)

    assert told(before) == told(after)
    theirs = pickle.loads(second.read_bytes())  # as the original's train.py reads it
    assert theirs["clip_embedding"].dtype == torch.float16
    assert set(theirs["captions"][0]) == {"image_id", "id", "caption", "clip_embedding"}


def test_without_embeddings_nothing_is_written(colours: Any, tmp_path: Path) -> None:
    dataset, _, encoder = colours
    with pytest.raises(InputError, match=r"4 of 4 pictures of colours have no embedding by .* --encoder"):
        export_original(dataset, encoder, tmp_path / "out.pkl")
    assert not (tmp_path / "out.pkl").exists()
