"""Sources in an object store, read where they lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import SPEC, draw_folder, draw_tables, draw_tars, upload, vectors_of
from said import Said

from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.dataset import Dataset, open_dataset
from clipcap_cli.datasets.pages.thumbnails import thumbnails
from clipcap_cli.datasets.versions import read_statistics
from clipcap_cli.embeddings.pipeline import embed_dataset
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.storage.home import Home

pytestmark = pytest.mark.filterwarnings("ignore")  # what Ray warns of is not ours

DRAWN = {"tars": draw_tars, "tables": draw_tables}


def rows(dataset: Dataset) -> list[Any]:
    return [(it.image_id, it.name, it.split, it.width, it.height, it.size, it.captions) for it in dataset.entries()]


@pytest.mark.parametrize("layout", DRAWN)
def test_shards_in_a_bucket_become_the_dataset_that_one_machine_makes_of_them(
    layout: str, cluster: Any, bucket: tuple[Any, str], tmp_path: Path, home: Home, clipcap: Callable[..., Said]
) -> None:
    folder = DRAWN[layout](tmp_path / layout, 3, 8, cut_short=(5,))
    address = upload(bucket[0], folder, f"{bucket[1]}/{layout}")
    engine = ("--engine", "ray", "--address", cluster.address, "--nodes", 1)

    said = clipcap("dataset", "add", address, *engine)
    assert said.code == 0, said.err
    added, plain = open_dataset(layout, home=home), add_dataset(folder, home=Home(tmp_path / "plain"))
    assert rows(added) == rows(plain)
    assert added.splits() == plain.splits()
    assert sorted(map(str, added.problems())) == sorted(map(str, plain.problems()))
    assert read_statistics(added.folder) == read_statistics(plain.folder)
    assert str(added.source) == address
    assert not home.images.exists(), "nothing was copied into the store"

    if layout == "tars":
        said = clipcap("embed", layout, "--encoder", SPEC, *engine, "--shard-size", 9, "--staging", f"{bucket[1]}/staging")
        assert said.code == 5, said.err
    else:  # the same without a cluster: a picture inside of a shard is read by whoever reads pictures
        assert clipcap("embed", layout, "--encoder", SPEC).code == 5
    encoder = load_encoder(SPEC)
    assert vectors_of(added, open_store(home, encoder)) == vectors_of(plain, embed_dataset(plain, encoder).store)
    assert [bool(uri) for uri in thumbnails(added.images())] == [bool(uri) for uri in thumbnails(plain.images())]
    exported = tmp_path / "exported"
    assert clipcap("dataset", "export", layout, "--format", "sidecar", "--output", exported).code == 0
    written = [path.read_bytes() for path in exported.rglob("*") if path.suffix in (".png", ".jpg")]
    assert sorted(written) == sorted((plain.home.root / it.path).read_bytes() for it in plain.entries())

    again = clipcap("dataset", "add", address, *engine)
    assert "3 shards of 3 were finished before" in again.err
    assert f"nothing has changed: '{layout}' stays at version 1" in again.err


def test_a_folder_of_pictures_in_a_bucket_is_read_as_one_on_disk(
    cluster: Any, bucket: tuple[Any, str], tmp_path: Path, home: Home, clipcap: Callable[..., Said]
) -> None:
    folder = draw_folder(tmp_path / "photos", 12, cut_short=(5,))
    (folder / "00003.png").write_bytes(b"no picture")
    address = upload(bucket[0], folder, f"{bucket[1]}/photos")
    engine = ("--engine", "ray", "--address", cluster.address, "--nodes", 1, "--shard-size", 5)

    assert clipcap("dataset", "add", address, *engine).code == 0
    added, plain = open_dataset("photos", home=home), add_dataset(folder, home=Home(tmp_path / "plain"))
    assert rows(added) == rows(plain)
    assert sorted(map(str, added.problems())) == sorted(map(str, plain.problems()))
    assert added.entries()[0].path == f"{address}/00000.png"
