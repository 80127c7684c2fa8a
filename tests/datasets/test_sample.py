"""A few pictures of a dataset of any size: the right ones, and quickly."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_dataset import made_dataset, made_pictures

from clipcap_cli.datasets import versions
from clipcap_cli.errors import StoreError
from clipcap_cli.storage.home import Home

_LOOK = """
import sys
from pathlib import Path
from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.datasets.versions import read_statistics
from clipcap_cli.storage.home import Home
dataset = open_dataset("shapes", home=Home(Path(sys.argv[1])))
assert len(dataset.sample(3)) == 3 and read_statistics(dataset.folder).words
print(*(name for name in ("torch", "pandas") if name in sys.modules))
"""


@pytest.mark.parametrize("together", [1, 2, 5, 1000])
def test_a_sample_is_even_and_has_all_captions_of_its_pictures(tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    monkeypatch.setattr(versions, "_ROW_GROUP", together)
    pictures = made_pictures(tmp_path / "pictures", 10)
    pictures[3] = replace(pictures[3], captions=tuple(f"caption {number}" for number in range(7)))
    dataset = made_dataset(home, pictures)
    images = dataset.images()
    for many in range(13):
        step = max(1, 10 // many) if many else 1
        assert dataset.sample(many) == images[::step][:many]


def test_looking_at_a_dataset_loads_neither_torch_nor_pandas(tmp_path: Path, home: Home) -> None:
    made_dataset(home, made_pictures(tmp_path / "pictures", 5))
    looked = subprocess.run([sys.executable, "-c", _LOOK, str(home.root)], capture_output=True, text=True, env=dict(os.environ), check=True)
    assert looked.stdout.split() == []


@pytest.mark.parametrize("rows", [["0", "1"], [0.5, 1.5], [None, None], [[0], [1]]])
def test_captions_of_odd_pictures_are_a_damaged_dataset(tmp_path: Path, home: Home, rows: list[object]) -> None:
    dataset = made_dataset(home, made_pictures(tmp_path / "pictures", 2))
    pq.write_table(pa.table({"row": rows, "caption": ["a", "b"]}), dataset.folder / "captions.parquet")
    with pytest.raises(StoreError, match="is damaged"):
        dataset.sample(2)
