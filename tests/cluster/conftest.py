"""A cluster of three nodes on this machine, started once, a server that speaks S3, and an encoder without weights that every process finds."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
# A node that is killed is found dead after a second, not after a quarter of a minute.
SOON = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 4, "health_check_timeout_ms": 1000}
LEAN = {"prestart_worker_first_driver": False, "enable_worker_prestart": False}
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}
FAMILY = """
import numpy as np


class PlainColours:
    spec, fingerprint, embedding_size, image_size, precision = "plain-colours", "91a1" * 8, 12, 8, "fp32"

    def preprocess(self, image):
        return np.asarray(image.resize((8, 8)))

    def encode(self, batch):
        quarters = [batch[:, top : top + 4, left : left + 4].astype(np.float32).mean((1, 2)) for top in (0, 4) for left in (0, 4)]
        return np.concatenate(quarters, 1) / 255


def encoder(name, **settings):
    return PlainColours()
"""


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An encoder as an installed package brings it: the mean colours of a picture's four quarters."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "plain_colours.py").write_text(FAMILY)
    facts = folder / "plain_colours-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: plain-colours\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[clipcap.encoders]\nplain-colours = plain_colours:encoder\n")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of a server of S3 on loopback, which the environment names."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"AWS_ENDPOINT_URL": address, **CREDENTIALS}.items():
            patch.setenv(name, value)
        yield address
    server.stop()


@pytest.fixture(scope="session")
def bucket(s3: str) -> tuple[Any, str]:
    """The file system of that server, and the address of a bucket in it."""
    import s3fs

    files = s3fs.S3FileSystem(use_listings_cache=False)
    files.mkdir("pictures")
    return files, "s3://pictures"


@pytest.fixture(scope="session")
def cluster(family: Path, s3: str) -> Iterator[Any]:
    """Three nodes of one core each, of which one may be killed (`victim`). This process stays connected, so that workers need not start anew for each test."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(family), str(ROOT)]))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": SOON | LEAN})
        made.add_node(**NODE)
        made.victim = made.add_node(**NODE)
        ray.init(address=made.address, log_to_driver=False, logging_level="CRITICAL")
        yield made
        ray.shutdown()
        made.shutdown()
