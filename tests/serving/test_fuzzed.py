"""A short form of benchmarks/fuzz_http.py: no request makes the server answer with a bug, or with anything that its description does not have."""

from __future__ import annotations

import pytest
from fuzz_http import Fuzzed, fuzz_described, fuzz_mangled
from served import Running, files

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestWarning", "ignore::hypothesis.errors.NonInteractiveExampleWarning")


def test_requests_made_from_the_description_are_answered_as_it_says(server: Running) -> None:
    fuzzed = Fuzzed()
    fuzz_described(server.address, 15, 0, fuzzed)
    assert not fuzzed.failures, "\n".join(fuzzed.failures[:10])
    statuses = {status for what, status in fuzzed.answers if what.startswith("POST /v1/caption")}
    assert {200, 400} <= statuses
    with server.client as client:
        assert client.post("/v1/caption", files=files("red")).status_code == 200


def test_mangled_requests_are_answered_or_hung_up_on(server: Running) -> None:
    fuzzed = Fuzzed()
    fuzz_mangled(server.address, 80, 0, fuzzed, patience_s=0.2)
    assert not fuzzed.failures, "\n".join(fuzzed.failures[:10])
    assert {status for _, status in fuzzed.answers} >= {200, 400}
    with server.client as client:
        assert client.post("/v1/caption", files=files("red")).status_code == 200
