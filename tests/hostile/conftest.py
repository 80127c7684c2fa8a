"""A store with a dataset, embeddings and a run, to be damaged; and what must not happen when it is read."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostile_tools import Stage, contents, make_pictures
from said import Said

from clipcap_cli.cli.main import main
from clipcap_cli.storage.home import Home

SHORT = ("train.epochs=1", "train.batch_size=4", "decode.beams=1", "decode.max_tokens=2", "mapper.prefix_length=2", "encoder.name=efficientnet-lite0")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What honest commands make: `pictures`, and `home` with the dataset, the embeddings and the run of them."""
    folder = tmp_path_factory.mktemp("made")
    make_pictures(folder / "pictures")
    options = ["--home", str(folder / "home"), "--offline"]
    before = os.environ.get("CLIPCAP_OFFLINE")
    assert main(["dataset", "add", str(folder / "pictures"), *options]) == 0
    assert main(["train", "quickstart", "--dataset", "pictures", *SHORT, *options]) == 0
    if before is None:
        os.environ.pop("CLIPCAP_OFFLINE", None)
    return folder


def _copy(source: str, to: str) -> str:
    """Weights are never written in place, so they may be shared."""
    return os.link(source, to) or to if source.endswith((".safetensors", "tokenizer.json")) else str(shutil.copy2(source, to))


@pytest.fixture
def stage(made: Path, tmp_path: Path, clipcap: Callable[..., Said], home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A copy of that store, a folder to work in, and one that must stay as it is; nobody has run a stranger's code afterwards."""
    shutil.copytree(made / "home", home.root, copy_function=_copy)
    outside, work = tmp_path / "outside", tmp_path / "work"
    outside.mkdir()
    work.mkdir()
    (outside / "precious.txt").write_text("what was here before")
    monkeypatch.chdir(work)
    monkeypatch.setenv("CLIPCAP_CANARY", str(outside / "canary"))
    before = contents(outside)
    yield Stage(home.root, work, outside, made / "pictures", clipcap)
    assert contents(outside) == before, "something was written outside of the store, or a stranger's code was run"
    assert {path.name for path in tmp_path.iterdir()} == {"home", "outside", "work"}


def pytest_configure(config: pytest.Config) -> None:
    sys.path.insert(0, str(Path(__file__).parent))
