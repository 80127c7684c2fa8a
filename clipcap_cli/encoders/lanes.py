"""A network on every core of a CPU: a few pictures a core at a time, each core on its own.

The usual way, one forward pass over a large batch whose every operation is shared among all threads, makes each operation wait for the slowest thread.
Measured with EfficientNet-Lite0 in bf16 on 2 cores while other processes were computing: 10 to 21 pictures/s for that way with a batch of 32, against 42 to 70
for two single-threaded passes side by side. Small chunks also keep in the cache what one layer hands to the next: one thread, chunks of 32, 16, 8 and 4
pictures, 60, 62, 82 and 110 pictures/s (best of five: 73, 92, 124 and 121).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from clipcap_cli.encoders.base import Pixels, Vectors

_CHUNK = 8  # pictures of one forward pass

_pools: dict[int, ThreadPoolExecutor] = {}
_making = threading.Lock()


def on_every_core(forward: Callable[[Pixels], Vectors], batch: Pixels) -> Vectors:
    """`forward` of the whole batch, computed in chunks on as many threads as torch may use (OMP_NUM_THREADS, torch.set_num_threads).

    Args:
        forward: [m, size, size, 3] -> [m, D] for any m; called from several threads at once.
        batch: [n, size, size, 3].

    Returns:
        [n, D].
    """
    threads = torch.get_num_threads()
    chunk = max(1, min(_CHUNK, -(-len(batch) // threads)))
    chunks = [batch[start : start + chunk] for start in range(0, len(batch), chunk)]
    if threads == 1 or len(chunks) == 1:
        return np.concatenate([forward(part) for part in chunks])
    return np.concatenate(list(_pool(threads).map(forward, chunks)))


def _pool(threads: int) -> ThreadPoolExecutor:
    with _making:
        if threads not in _pools:
            pool = ThreadPoolExecutor(threads, "clipcap-forward", initializer=_compute_alone)
            all_there = threading.Barrier(threads)
            for started in [pool.submit(all_there.wait) for _ in range(threads)]:
                started.result()
            torch.set_num_threads(threads)  # what was set for the pool's own threads is also what threads that start later would begin with
            _pools[threads] = pool
        return _pools[threads]


def _compute_alone() -> None:
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread takes the number over at its first question; later it would get that of the others
