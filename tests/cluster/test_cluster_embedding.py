"""Embedding on a cluster of three nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cluster_tools import SPEC, Heard, draw_folder, picture, vectors_of

from clipcap_cli.cluster.embedding import embed_on_cluster
from clipcap_cli.cluster.engine import Engine
from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.embeddings.checking import check_store
from clipcap_cli.embeddings.pipeline import embed_dataset
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.events import Event
from clipcap_cli.storage.home import Home

pytestmark = pytest.mark.filterwarnings("ignore")  # what Ray warns of is not ours


def test_a_node_is_killed_half_way_and_nothing_is_lost_or_doubled(cluster: Any, tmp_path: Path) -> None:
    folder = draw_folder(tmp_path / "pictures", 200, cut_short=(7, 100))
    dataset, encoder = add_dataset(folder, home=Home(tmp_path / "cluster")), load_encoder(SPEC)
    (folder / "00012.png").write_bytes(picture(1012))
    heard = Heard()

    def listen(event: Event) -> None:
        before, _ = heard.done, heard(event)
        if before < 100 <= heard.done:
            cluster.remove_node(cluster.victim, allow_graceful=False)

    embedded = embed_on_cluster(dataset, encoder, Engine(cluster.address, shard_size=10), events=listen)

    plain = embed_dataset(add_dataset(folder, home=Home(tmp_path / "plain")), encoder)
    assert "ray: 3 nodes, 3 cores" in heard.notes
    assert (embedded.new, embedded.reused, heard.done) == (197, 0, 200)
    assert {(Path(it.where).name, it.kind) for it in embedded.problems} == {("00007.png", "unreadable"), ("00012.png", "changed"), ("00100.png", "unreadable")}
    rows = vectors_of(dataset, embedded.store)
    assert len(rows) == len(embedded.store) == 197
    assert rows == {image_id: vector for image_id, vector in vectors_of(dataset, plain.store).items() if image_id in rows}
    assert list(embedded.store.places(list(rows))) == list(range(197)), "rows are in the order of the pictures, whichever node was first"
    assert check_store(embedded.store.folder, lambda _: None).damaged == ()
    assert not list((tmp_path / "cluster" / "staging").iterdir())


@pytest.mark.slow
def test_what_a_stopped_run_has_finished_is_taken_and_a_half_written_shard_is_made_again(cluster: Any, tmp_path: Path) -> None:
    folder, staging = draw_folder(tmp_path / "pictures", 60), tmp_path / "staging"
    dataset, encoder = add_dataset(folder, home=Home(tmp_path / "home")), load_encoder(SPEC)
    staging.mkdir()
    engine = Engine(cluster.address, nodes=1, shard_size=10, staging=str(staging))

    class Stopped(Exception):
        pass

    first = Heard()

    def stop(event: Event) -> None:
        first(event)
        if first.done >= 60:
            raise Stopped

    with pytest.raises(Stopped):
        embed_on_cluster(dataset, encoder, engine, events=stop)
    left = sorted(staging.iterdir())
    assert left, "the last shards were finished, and not yet in the store"
    left[0].write_bytes(left[0].read_bytes()[:-100])
    (staging / "unknown.parquet").write_bytes(b"nobody asked for this")

    heard = Heard()
    embedded = embed_on_cluster(dataset, encoder, engine, events=heard)
    assert embedded.problems == ()
    assert embedded.new + embedded.reused == 60
    assert [path.name for path in staging.iterdir()] == ["unknown.parquet"]
    plain = embed_dataset(add_dataset(folder, home=Home(tmp_path / "plain")), encoder)
    assert vectors_of(dataset, embedded.store) == vectors_of(dataset, plain.store)

    again = Heard()
    assert embed_on_cluster(dataset, encoder, engine, events=again).reused == 60
    assert again.notes == [], "no cluster is asked when there is nothing to do"
