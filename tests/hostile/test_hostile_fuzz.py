"""Files spoilt at random, at every door: the short form of benchmarks/hostile.py, with the same files each time."""

from __future__ import annotations

import pickle
import pickletools
import sys
import warnings
from pathlib import Path

import pytest
from hostile import Counts, try_door, try_hostile
from hypothesis import given
from hypothesis import strategies as st

from clipcap_cli.storage.guards import check_memo

FILES = 5  # at each door
MOST_MB = 400  # that may be taken beyond what was there: a language model is loaded at some doors


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_spoilt_files_are_read_or_refused_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from doors import make_doors

    monkeypatch.setenv("CLIPCAP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLIPCAP_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about tracing
        doors = list(make_doors(tmp_path))
    found: dict[str, Counts] = {door.name: try_door(door, FILES, seed=0) for door in doors}
    assert [line for counts in found.values() for line in counts.wrong] == []
    assert all(sum(counts.ended.values()) == FILES for counts in found.values())
    assert sum(counts.ended["refused"] for counts in found.values()) > len(doors)
    assert max(counts.memory_mb for counts in found.values()) < MOST_MB
    ended = dict(try_hostile({door.name: door for door in doors}, tmp_path))
    assert len(ended) > 40
    assert set(ended.values()) == {"refused"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.binary().map(bytearray),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below) | st.tuples(below, below) | st.sets(st.integers()) | st.frozensets(st.text()),
    max_leaves=20,
)


@given(value=values, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_no_honest_pickle_remembers_too_much(value: object, protocol: int) -> None:
    check_memo(pickle.dumps([value, [value], "r\xff" * 9], protocol))


@given(
    value=values,
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
    place=st.integers(0, 2**16),
    inserted=st.sampled_from([b"r\xff\xff\xff\x7f", b"p2000000000\n", b"q\xff"]) | st.binary(max_size=20),
    cut=st.integers(0, 20),
)
def test_what_python_finds_in_a_pickle_is_found(value: object, protocol: int, place: int, inserted: bytes, cut: int) -> None:
    data = pickle.dumps([value, value], protocol)
    place %= len(data)
    data = data[:place] + inserted + data[place + cut :]
    remembered = [0]
    try:
        for code, argument, _ in pickletools.genops(data):
            if code.name in ("PUT", "LONG_BINPUT"):
                remembered.append(argument)
    except Exception:  # it is damaged from here on, and the reader gets no further either
        pass
    if max(remembered) > len(data):
        with pytest.raises(ValueError, match="memory"):
            check_memo(data)
