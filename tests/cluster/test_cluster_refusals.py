"""Clusters and addresses that cannot be used: one sentence each, in seconds."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster_tools import draw_folder
from said import Said

from clipcap_cli._version import __version__
from clipcap_cli.cluster import engine as engine_module
from clipcap_cli.cluster.node_check import look_around
from clipcap_cli.errors import ClipcapError
from clipcap_cli.storage.addresses import list_files

RAY = ("--engine", "ray")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_an_address_that_nobody_answers_at_is_told_at_once(tmp_path: Path, clipcap: Callable[..., Said]) -> None:
    began = time.monotonic()
    said = clipcap("dataset", "add", draw_folder(tmp_path / "pictures", 2), *RAY, "--address", f"127.0.0.1:{free_port()}")
    assert said.code == 7
    assert "nobody answers at this address" in said.err
    assert "ray start --head" in said.err
    assert time.monotonic() - began < 20


def test_something_that_is_no_cluster_is_not_waited_for(tmp_path: Path, clipcap: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_GCS_S", 3.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = "{}:{}".format(*silent.getsockname())
        said = clipcap("dataset", "add", draw_folder(tmp_path / "pictures", 2), *RAY, "--address", address)
    assert said.code == 7
    assert "no Ray cluster that answers within 3 s" in said.err


@pytest.mark.parametrize("address", ["ray", "host:", ":6379", "ray://host:10001", "host:99999"])
def test_what_is_no_address_of_a_cluster_is_refused(address: str, tmp_path: Path, clipcap: Callable[..., Said]) -> None:
    said = clipcap("dataset", "add", draw_folder(tmp_path / "pictures", 1), *RAY, "--address", address)
    assert said.code == 2
    assert f"{address!r} is no address of a cluster" in said.err


def test_without_ray_the_extra_is_named(tmp_path: Path, clipcap: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = clipcap("dataset", "add", draw_folder(tmp_path / "pictures", 1), *RAY)
    assert said.code == 4
    assert 'pip install "clipcap-cli[cluster]"' in said.err


def test_without_the_package_of_an_address_the_extra_is_named(clipcap: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    said = clipcap("dataset", "add", "gs://bucket/pictures", *RAY)
    assert said.code == 4
    assert 'pip install "clipcap-cli[gcs]"' in said.err


def test_missing_credentials_are_told(clipcap: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, s3: str) -> None:
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    said = clipcap("dataset", "add", "s3://pictures/x", *RAY)
    s3fs.S3FileSystem.clear_instance_cache()
    assert said.code == 3
    assert "there are no credentials for this address" in said.err
    assert "AWS_ACCESS_KEY_ID" in said.err


@pytest.mark.filterwarnings("ignore")  # of botocore
def test_a_bucket_that_is_not_there_is_told(clipcap: Callable[..., Said], s3: str) -> None:
    said = clipcap("dataset", "add", "s3://no-such-bucket/pictures", *RAY)
    assert said.code == 3
    assert "s3://no-such-bucket/pictures: there is no such bucket" in said.err


@pytest.mark.filterwarnings("ignore")  # of botocore
def test_a_server_that_does_not_answer_is_told(clipcap: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    s3fs.S3FileSystem.clear_instance_cache()
    said = clipcap("dataset", "add", "s3://pictures/x", *RAY)
    s3fs.S3FileSystem.clear_instance_cache()
    assert said.code == 7
    assert "the server of this address does not answer" in said.err


def test_an_unknown_protocol_is_told(clipcap: Callable[..., Said]) -> None:
    said = clipcap("dataset", "add", "xyz://pictures", *RAY)
    assert said.code == 3
    assert "nothing here knows addresses that begin with xyz://" in said.err


def test_an_address_without_the_engine_names_the_engine(clipcap: Callable[..., Said]) -> None:
    said = clipcap("dataset", "add", "s3://pictures/x")
    assert said.code == 3
    assert "Add --engine ray." in said.err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (("embed", "food", "--nodes", 2), "--nodes needs --engine ray."),
        (("embed", "food", *RAY, "--devices", 2), "--devices cannot be had with --engine ray."),
        (("dataset", "add", "x", *RAY, "--copy"), "--copy cannot be had with --engine ray."),
        (("dataset", "add", "hf:some/thing", *RAY), "hf://datasets/some/thing"),
        (("caption", "x", *RAY, "--format", "csv"), "--format cannot be had with --engine ray."),
        (("caption", "x", *RAY), "name their folder with --output"),
        (("caption", "x", "--image-column", "jpg"), "--image-column needs --engine ray."),
    ],
)
def test_options_that_mean_nothing_together_are_refused(line: tuple[object, ...], told: str, clipcap: Callable[..., Said]) -> None:
    said = clipcap(*line)
    assert said.code == 2
    assert told in " ".join(said.err.split())


def test_hidden_files_are_no_part_of_a_source(tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "pictures", 1)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "00000.png").write_bytes(b"")
    assert [Path(entry.address).name for entry in list_files(str(folder))] == ["00000.png", "00000.txt"]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"clipcap": None, "reason": "No module named 'clipcap_cli'", "unseen": []}, "clipcap cannot be imported on node b (No module named 'clipcap_cli')"),
        ({"clipcap": "0.0.1", "unseen": []}, "b has clipcap 0.0.1, and this machine"),
        ({"clipcap": __version__, "unseen": ["/shared"]}, "/shared: this is not seen by node b"),
    ],
)
def test_a_node_that_cannot_do_the_work_is_named(facts: dict[str, object], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    able = {"clipcap": __version__, "unseen": []}
    monkeypatch.setattr(engine_module, "_ask_nodes", lambda *_: [("a", able), ("b", facts)])
    with pytest.raises(ClipcapError) as refused:
        engine_module.check_nodes(engine_module.Cluster(()), ["/shared"])
    assert told in str(refused.value)


def test_a_node_looks_around_for_clipcap_and_for_paths(tmp_path: Path) -> None:
    assert look_around([str(tmp_path), str(tmp_path / "none")]) == {"clipcap": __version__, "unseen": [str(tmp_path / "none")]}


def test_workers_share_the_cores_of_the_nodes() -> None:
    nodes = tuple(engine_module.Node(str(number), "node", cpus, 0) for number, cpus in enumerate((8.0, 8.0, 4.0)))
    assert engine_module.Cluster(nodes).workers(None) == (3, 4.0)
    assert engine_module.Cluster(nodes).workers(10) == (10, 2.0)
