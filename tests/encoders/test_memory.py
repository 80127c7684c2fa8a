import platform
import resource
from pathlib import Path

import pytest
import torch

from clipcap_cli.encoders.memory import keeping_freed_memory

ON_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to keep with another C library")
LARGE = 16 * 2**20  # numbers: 64 MiB, which glibc takes from the kernel anew each time


def pages_taken(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        torch.ones(LARGE)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident():
    """Bytes that lie in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@ON_GLIBC
def test_what_a_step_frees_serves_the_next_step():
    pages_a_tensor = LARGE * 4 / resource.getpagesize()
    with keeping_freed_memory() as kept:
        assert kept
        pages_taken(10)  # pieces between aligned tensors are cut up at first
        assert pages_taken(20) < pages_a_tensor  # twenty tensors, not even the pages of one


@ON_GLIBC
def test_what_was_kept_is_given_back_in_the_end():
    with keeping_freed_memory():
        pages_taken(1)
        kept = resident()
    assert kept - resident() > 0.9 * LARGE * 4


@pytest.mark.parametrize("variable", ["MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_who_has_chosen_for_themselves_is_left_alone(monkeypatch, variable):
    monkeypatch.setenv(variable, "0")
    with keeping_freed_memory() as kept:
        assert not kept
