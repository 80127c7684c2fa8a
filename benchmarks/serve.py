"""How fast `clipcap serve` is against `clipcap caption` on the same pictures, how long its clients wait, and what 10,000 requests do to it.

    python benchmarks/serve.py PICTURES [--home FOLDER] [--model NAME] [--pictures 320] [--rounds 5] [--soak 10000]

Throughput: 16 clients, each with one picture at a time and a connection that it keeps, against `clipcap caption` without its start, in turns.
Latency: one client alone, then requests that arrive at random (Poisson) at half the rate of the throughput, each on a connection of its own.
Soak: 16 clients; 5 % of the requests have a broken picture, 5 % of the clients hang up half way or before they are answered. A good request is right if exactly
one answer came that bears its name, with the caption that the picture had in the first round.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from shapes import machine, spread_of, table

CLIENTS = 16
LOADS = 64  # requests at once, at most, while they arrive at random
BOUNDARY = "f9a3c1"
BROKEN = {
    "text": b"this is no picture\n" * 50,
    "empty": b"",
    "cut short": None,  # made of a good one
    "bomb": b"P6 30000 10000 255\n",  # 300 megapixels, by its header
}

# `clipcap caption` without its start: what is left is what it does for each picture. A line on stdin begins a round.
CAPTION = """
import sys, time
from pathlib import Path
from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.captioner.models import find_captioner
from clipcap_cli.storage.home import open_home
home = open_home(None)
captioner = load_bundle(find_captioner(sys.argv[1] or None, home).path, home=home)
paths = [Path(path) for path in sys.stdin.readline().rstrip("\\n").split("\\0")]
print("ready", flush=True)
for _ in sys.stdin:
    began = time.perf_counter()
    captions = [caption.text for caption in captioner.caption(paths, batch_size=32)]
    print(time.perf_counter() - began, flush=True)
"""


class Server:
    """The command, and a way to ask it."""

    def __init__(self, model: str | None, environment: dict[str, str]) -> None:
        line = [sys.executable, "-m", "clipcap_cli", "serve", "--port", "0", "--json", "--quiet", *(("--model", model) if model else ())]
        self.process = subprocess.Popen(line, env=environment, text=True, stdout=subprocess.PIPE)
        assert self.process.stdout
        told = ""
        while not told.endswith("}\n"):
            told += self.process.stdout.readline()
        self.port = int(json.loads(told)["address"].rpartition(":")[2])

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def memory(self) -> float:
        """Megabytes that are resident."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1000

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        return cpu_of(self.process)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(60)


def cpu_of(process: subprocess.Popen[str]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def form(name: str, data: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\nContent-Type: image/jpeg\r\n\r\n'
    return head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


def ask(connection: http.client.HTTPConnection, name: str, data: bytes) -> tuple[int, dict]:
    connection.request("POST", "/v1/caption", form(name, data), {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def hang_up(server: Server, data: bytes, at: float) -> None:
    """Send a part of a request, or all of it, and go."""
    body = form("gone.jpg", data)
    head = f"POST /v1/caption HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall((head.encode() + body)[: round(at * (len(head) + len(body)))])


def side_by_side(count: int, work: Callable[[http.client.HTTPConnection, int], None], server: Server) -> float:
    """Seconds in which the clients do work 0 … count - 1, whoever is free the next one."""
    numbers: Iterator[int] = iter(range(count))
    lock = threading.Lock()

    def client() -> None:
        connection = server.connect()
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            work(connection, number)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


@dataclass
class Rounds:
    """Pictures a second of both sides, their processor time a picture, and each picture's caption."""

    command: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    command_cpu: list[float] = field(default_factory=list)
    server_cpu: list[float] = field(default_factory=list)
    captions: dict[int, str] = field(default_factory=dict)


def throughput(server: Server, caption: subprocess.Popen[str], files: Sequence[bytes], rounds: int) -> Rounds:
    """Both sides in turns, after each has done a little."""
    done = Rounds()

    def one(connection: http.client.HTTPConnection, number: int) -> None:
        status, told = ask(connection, f"{number}.jpg", files[number])
        assert status == 200, told
        done.captions[number] = told["results"][0]["caption"]

    def command() -> float:
        caption.stdin.write("go\n")
        caption.stdin.flush()
        return float(caption.stdout.readline())

    side_by_side(min(64, len(files)), one, server)
    command()
    for _ in range(rounds):
        before = cpu_of(caption)
        done.command.append(len(files) / command())
        done.command_cpu.append((cpu_of(caption) - before) / len(files))
        before = server.cpu()
        done.server.append(len(files) / side_by_side(len(files), one, server))
        done.server_cpu.append((server.cpu() - before) / len(files))
    return done


def alone(server: Server, files: Sequence[bytes]) -> list[float]:
    connection, times = server.connect(), []
    for number, data in enumerate(files):
        began = time.perf_counter()
        ask(connection, f"{number}.jpg", data)
        times.append(time.perf_counter() - began)
    return times


def at_rate(server: Server, files: Sequence[bytes], rate: float, count: int) -> list[float]:
    """Seconds from when each request was due to its answer."""
    times: list[float] = []

    def one(number: int, due: float) -> None:
        connection = server.connect()
        status, told = ask(connection, f"{number}.jpg", files[number % len(files)])
        times.append(time.perf_counter() - due)
        connection.close()
        assert status == 200, told

    with ThreadPoolExecutor(LOADS) as pool:
        due, waiting = time.perf_counter(), []
        for number in range(count):
            due += random.expovariate(rate)
            time.sleep(max(0.0, due - time.perf_counter()))
            waiting.append(pool.submit(one, number, due))
        for each in waiting:
            each.result()
    return times


def soak(server: Server, files: Sequence[bytes], captions: dict[int, str], count: int) -> None:
    answered: Counter[str] = Counter()
    statuses: Counter[tuple[str, int | str]] = Counter()
    wrong: list[str] = []
    memory = {0: server.memory()}
    kinds = [random.choices(("good", "broken", "hung up"), (90, 5, 5))[0] for _ in range(count)]
    lock = threading.Lock()

    def one(connection: http.client.HTTPConnection, number: int) -> None:
        picture = number % len(files)
        if number in (count // 2, count - 1):
            memory[number] = server.memory()
        if kinds[number] == "hung up":
            hang_up(server, files[picture], random.choice((0.3, 0.9, 1.0)))
            with lock:
                statuses["hung up", "-"] += 1
            return
        if kinds[number] == "broken":
            kind = random.choice(list(BROKEN))
            broken = BROKEN[kind]
            status, told = ask(connection, f"broken-{number}.jpg", files[picture][: len(files[picture]) // 2] if broken is None else broken)
            with lock:
                statuses[f"broken: {kind}", status] += 1
            return
        status, told = ask(connection, f"good-{number}.jpg", files[picture])
        with lock:
            statuses["good", status] += 1
            for result in told.get("results", ()):
                answered[result["name"]] += 1
                if result.get("caption") != captions[picture]:
                    wrong.append(f"{result['name']}: {result} instead of {captions[picture]!r}")

    took = side_by_side(count, one, server)
    memory[count] = server.memory()
    good = {f"good-{number}.jpg" for number in range(count) if kinds[number] == "good"}
    once = sum(answered[name] == 1 for name in good)
    table(("requests", "status", "how many"), [(kind, str(status), f"{number:,}") for (kind, status), number in sorted(statuses.items(), key=str)])
    middle = next(value for at, value in memory.items() if at >= count // 2)
    print(f"\n{count:,} requests in {took:.0f} s. Good ones: {len(good):,}; answered exactly once: {once:,}; with another caption: {len(wrong):,}.")
    print(f"Resident memory: {memory[0]:.0f} MB before, {middle:.0f} MB half way, {memory[count]:.0f} MB after.")
    for line in wrong[:5]:
        print(line)
    if once != len(good):
        raise SystemExit("a good request was not answered exactly once")


@contextmanager
def both(model: str | None, paths: Sequence[Path], home: Path | None) -> Iterator[tuple[Server, subprocess.Popen[str]]]:
    environment = {**os.environ, "CLIPCAP_OFFLINE": "1", "GOMP_SPINCOUNT": "10000", **({"CLIPCAP_HOME": str(home)} if home else {})}
    caption = subprocess.Popen([sys.executable, "-c", CAPTION, model or ""], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    server = Server(model, environment)
    try:
        assert caption.stdin
        assert caption.stdout
        caption.stdin.write("\0".join(map(str, paths)) + "\n")
        caption.stdin.flush()
        caption.stdout.readline()
        yield server, caption
    finally:
        caption.kill()
        print(f"\nThe server ended with {server.stop()}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="PICTURES")
    parser.add_argument("--home", type=Path, help="the store; else $CLIPCAP_HOME")
    parser.add_argument("--model")
    parser.add_argument("--pictures", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--soak", type=int, default=10_000, metavar="REQUESTS")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    random.seed(asked.seed)
    paths = sorted(path.resolve() for path in asked.folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[: asked.pictures]
    files = [path.read_bytes() for path in paths]
    print(machine())
    print(f"{len(paths)} pictures of {sum(map(len, files)) / len(files) / 1000:.0f} kB on average, {asked.rounds} rounds\n")
    with both(asked.model, paths, asked.home) as (server, caption):
        done = throughput(server, caption, files, asked.rounds)
        ratio = spread_of([ours / theirs for ours, theirs in zip(done.server, done.command, strict=True)])
        table(
            ("16 clients, one picture each", "pictures/s", "processor time a picture, ms"),
            [
                ("`clipcap caption`", spread_of(done.command, 1), spread_of([1000 * each for each in done.command_cpu], 1)),
                ("`clipcap serve`", spread_of(done.server, 1), spread_of([1000 * each for each in done.server_cpu], 1)),
                ("ratio (bar: 0.85)", f"**{ratio}**", ""),
            ],
        )
        single = statistics.median(alone(server, files[:64]))
        rate = statistics.median(done.server) / 2
        times = sorted(at_rate(server, files, rate, round(rate * 60)))
        half, most = statistics.median(times), times[round(0.95 * (len(times) - 1))]
        print()
        table(
            ("one picture alone, ms", f"p50 at {rate:.1f} a second, ms", "p95, ms", "p95 / alone", "bar"),
            [(f"{single * 1000:.0f}", f"{half * 1000:.0f}", f"{most * 1000:.0f}", f"**{most / single:.2f}**", "4")],
        )
        print()
        if asked.soak:
            soak(server, files, done.captions, asked.soak)


if __name__ == "__main__":
    main()
