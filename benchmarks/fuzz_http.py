"""What `clipcap serve` answers to requests that nobody in his right mind would send.

    python benchmarks/fuzz_http.py [--home FOLDER] [--model NAME] [--address URL --key KEY] [--examples 1000] [--mangled 3000] [--seed 0]

Two kinds. From the OpenAPI description schemathesis makes requests that keep to it and requests that do not, with pictures and with noise for bodies. Each
answer is compared with the description: status, type, headers, shape, and that what breaks the description is refused. Then a good request is mangled byte by
byte: pieces are cut out, doubled, reversed and overwritten, in its line, its headers and its body. An answer of 500 and more is a failure, but for 503 and 504.
Without --address a server is started, and it has to caption, and to end well, afterwards.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from shapes import processor, table

BY_DESIGN = (503, 504)  # of those from 500 on
ANSWER_S = 60.0
NO_HEADERS: Mapping[str, str] = {}
FEW = 3  # requests to an address that takes nothing
# That a request keeps to the description does not make a picture of its bytes, nor its options go together.
NOT_PROMISED = ("positive_data_acceptance", "missing_required_header", "ensure_resource_availability", "use_after_free")


@dataclass
class Fuzzed:
    """How often what was answered to what, and what should not have been."""

    answers: Counter[tuple[str, int | str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def a_picture(side: int = 24, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (200, 40, 40)).save(file, form)
    return file.getvalue()


BODIES = st.one_of(st.sampled_from([a_picture(), a_picture(form="JPEG"), a_picture(form="WEBP"), a_picture()[:40]]), st.binary(max_size=200))


def fuzz_described(address: str, examples: int, number: int, fuzzed: Fuzzed, headers: Mapping[str, str] = NO_HEADERS) -> None:
    """Requests made from the description: `examples` of each kind for each address that takes anything, a few for the others."""
    load_all_checks()
    excluded = [check for check in CHECKS.get_all() if check.__name__ in NOT_PROMISED]
    schemathesis.openapi.format("binary", BODIES)
    description = schemathesis.openapi.from_url(f"{address}/openapi.json")
    for operation in (found.ok() for found in description.get_all_operations()):
        takes_something = bool(operation.query) or bool(operation.body)
        for mode in schemathesis.GenerationMode if takes_something else [schemathesis.GenerationMode.POSITIVE]:
            what = f"{operation.label}, {'kept to' if mode.is_positive else 'broken'}"

            def answered(case: schemathesis.Case, what: str) -> None:
                response = case.call(base_url=address, headers=dict(headers), timeout=ANSWER_S)
                fuzzed.answers[what, response.status_code] += 1
                if response.status_code >= 500 and response.status_code not in BY_DESIGN:
                    fuzzed.failures.append(f"{what}: {response.status_code} to {case.as_curl_command()[:500]}")
                try:
                    case.validate_response(response, excluded_checks=excluded, headers=dict(headers))
                except FailureGroup as group:
                    fuzzed.failures += [f"{what}: {_first_line(error)} ({case.as_curl_command()[:500]})" for error in group.exceptions]

            count = examples if takes_something else FEW
            rules = settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
            seed(number)(rules(given(case=operation.as_strategy(generation_mode=mode), what=st.just(what))(answered)))()


def fuzz_mangled(address: str, count: int, number: int, fuzzed: Fuzzed, headers: Mapping[str, str] = NO_HEADERS, patience_s: float = 2.0) -> None:
    """A good request, mangled; after `patience_s` a server that says nothing waits for what was cut away."""
    draws = random.Random(number)
    host, port = address.removeprefix("http://").split(":")
    for _ in range(count):
        data = _mangled(_good_request(draws, headers), draws)
        with socket.create_connection((host, int(port)), timeout=patience_s) as connection:
            answer, status = b"", "hung up"
            try:
                connection.sendall(data)
                while not answer.startswith(b"HTTP/1.1 ") and (piece := connection.recv(65536)):
                    answer += piece
            except ConnectionError:
                pass
            except TimeoutError:
                status = "waits for more"
        if answer.startswith(b"HTTP/1.1 "):
            status = int(answer.split()[1])
        fuzzed.answers["mangled", status] += 1
        if isinstance(status, int) and status >= 500 and status not in BY_DESIGN:
            fuzzed.failures.append(f"mangled: {status} to {data[:300]!r}")


def _good_request(draws: random.Random, more: Mapping[str, str]) -> bytes:
    parts = b"".join(
        b'--x1\r\nContent-Disposition: form-data; name="image"; filename="a%d.png"\r\nContent-Type: image/png\r\n\r\n%s\r\n' % (number, a_picture(8))
        for number in range(draws.randrange(1, 4))
    )
    body = parts + b"--x1--\r\n"
    query = draws.choice((b"", b"?candidates=2", b"?strategy=sample&seed=3&top_p=0.5", b"?banned=a&banned=b"))
    given = "".join(f"{name}: {value}\r\n" for name, value in more.items()).encode()
    headers = b"Host: localhost\r\nContent-Type: multipart/form-data; boundary=x1\r\nContent-Length: %d\r\n" % len(body)
    return b"POST /v1/caption%s HTTP/1.1\r\n" % query + headers + given + b"\r\n" + body


def _mangled(data: bytes, draws: random.Random) -> bytes:
    for _ in range(draws.randrange(1, 4)):
        start = draws.randrange(len(data) + 1) if draws.random() < 0.75 else draws.randrange(min(200, len(data)) + 1)
        end = min(len(data), start + draws.choice((1, 1, 2, 5, 30)))
        piece = data[start:end]
        new = draws.choice((b"", piece * 2, piece[::-1], draws.randbytes(len(piece)), b"\r\n", b"\0", b"%00", b"9" * len(piece)))
        data = data[:start] + new + data[end:]
    return data


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _first_line(error: BaseException) -> str:
    return " ".join(f"{getattr(error, 'title', type(error).__name__)}: {error}".split())[:300]


@contextmanager
def server(home: Path | None, model: str | None, key: str) -> Iterator[str]:
    """The command on a free port, with a key."""
    environment = {**os.environ, "CLIPCAP_OFFLINE": "1", **({"CLIPCAP_HOME": str(home)} if home else {})}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as keys, tempfile.TemporaryFile("w+") as log:
        keys.write(key)
        keys.flush()
        options = ["--port", "0", "--json", "--quiet", "--api-key-file", keys.name, *(("--model", model) if model else ())]
        line = [sys.executable, "-m", "clipcap_cli", "serve", *options]
        process = subprocess.Popen(line, env=environment, text=True, stdout=subprocess.PIPE, stderr=log)
        yield from _while_it_runs(process, key)
        log.seek(0)
        print("".join(line for line in log if '"error"' in line or "Traceback" in line))


def _while_it_runs(process: subprocess.Popen[str], key: str) -> Iterator[str]:
    assert process.stdout
    told = ""
    while not told.endswith("}\n"):
        told += process.stdout.readline()
    address = json.loads(told)["address"]
    try:
        yield address
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=ANSWER_S)
        connection.request("POST", "/v1/caption", a_picture(), {"Content-Type": "image/png", **bearer(key)})
        print(f"\nAfterwards a picture gets {connection.getresponse().status}", end="")
    finally:
        process.terminate()
        print(f", and the server ends with {process.wait(60)}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="the store; else $CLIPCAP_HOME")
    parser.add_argument("--model")
    parser.add_argument("--address", help="of a server that runs already")
    parser.add_argument("--key", help="of that server")
    parser.add_argument("--examples", type=int, default=1000, help="of requests that keep to the description, and of those that do not")
    parser.add_argument("--mangled", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    fuzzed, began = Fuzzed(), time.monotonic()
    key = asked.key or secrets.token_urlsafe(32)
    with nullcontext(asked.address) if asked.address else server(asked.home, asked.model, key) as address:
        fuzz_described(address, asked.examples, asked.seed, fuzzed, bearer(key))
        fuzz_mangled(address, asked.mangled, asked.seed, fuzzed, bearer(key))
    print(f"{processor()}, schemathesis {schemathesis.SCHEMATHESIS_VERSION}, seed {asked.seed}, {time.monotonic() - began:.0f} s")
    table(("requests", "status", "how many"), [(what, status, f"{number:,}") for (what, status), number in sorted(fuzzed.answers.items(), key=str)])
    print(f"\n{fuzzed.answers.total():,} requests, {len(fuzzed.failures)} failures")
    print("\n".join(dict.fromkeys(fuzzed.failures)))
    if fuzzed.failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
