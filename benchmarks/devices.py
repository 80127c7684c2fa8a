"""What feeding several devices costs, and who waits for whom: devices that only take their time stand in for accelerators.

    python benchmarks/devices.py [--rate 1500] [--count 3000] [--rounds 3]

Pictures are arrays of 224 x 224 that need no decoding, so that what is left is the work of one process beside decoding: arrays, futures, batches, order. A
stand-in sleeps as long as a device of `--rate` pictures a second would compute; like one, it lets go of the interpreter meanwhile. Nothing is learned here
about real devices' own speed.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from shapes import machine, spread_of, table

from clipcap_cli.embeddings.limits import Effort
from clipcap_cli.embeddings.pipeline import encode_pictures
from clipcap_cli.encoders.memory import keeping_freed_memory

BATCH = 64
DEVICES = (1, 2, 4, 8)


class Sleeps:
    """A device that makes `rate` pictures a second."""

    spec, fingerprint, embedding_size, image_size, precision, device = "stand-in", "0", 512, 224, "fp32", "stand-in"

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def preprocess(self, image: object) -> np.ndarray:
        return np.asarray(image)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        time.sleep(len(batch) / self._rate)
        return np.zeros((len(batch), self.embedding_size), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=1500.0)
    parser.add_argument("--count", type=int, default=3000, help="pictures for each device")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print(machine())
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    lines = []
    for devices in DEVICES:
        rates, costs, waits = [], [], []
        for _ in range(asked.rounds):
            count, effort = asked.count * devices, Effort()
            began, cpu_began = time.perf_counter(), time.process_time()
            copies, pictures = [Sleeps(asked.rate) for _ in range(devices)], (picture for _ in range(count))
            with keeping_freed_memory():
                made = sum(1 for _ in encode_pictures(pictures, copies, batch_size=BATCH, effort=effort))
            rates.append(made / (time.perf_counter() - began))
            costs.append((time.process_time() - cpu_began) / made * 1000)
            shares = effort.shares()
            assert shares is not None
            waits.append(shares.decoding * 100)
        lines.append((devices, f"{asked.rate * devices:,.0f}", spread_of(rates, 0), f"{min(costs):.3f}", f"{statistics.median(waits):.0f} %"))
    table(("devices", "pictures/s they could", "pictures/s", "CPU ms a picture, least", "waited for pictures"), lines)


if __name__ == "__main__":
    main()
