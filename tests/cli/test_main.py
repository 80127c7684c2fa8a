from __future__ import annotations

import errno
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import clipcap_cli
from clipcap_cli.cli.main import COMMANDS, app
from clipcap_cli.storage.home import Home

ROOT = Path(clipcap_cli.__file__).resolve().parent.parent
Clipcap = Callable[..., Any]


def _commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, with what is typed to call it."""
    root: Any = typer.main.get_command(app)
    for name in COMMANDS:
        command = root.get_command(None, name)
        below = getattr(command, "commands", None)
        yield from ((f"{name} {verb}", verb_command) for verb, verb_command in below.items()) if below else [(name, command)]


COMMAND_LINES = dict(_commands())


def test_the_commands_of_the_front_desk_are_these() -> None:
    assert sorted(COMMAND_LINES) == sorted(
        [
            *("dataset add", "dataset list", "dataset export", "dataset show", "dataset remove"),
            *("dataset merge", "dataset diff", "dataset split", "dataset edit", "dataset filter", "dataset restore", "dataset check", "dataset preview"),
            *("embed", "train", "sweep", "caption", "eval", "serve", "export", "doctor"),
            *("model list", "model show", "model import", "model pull", "model use", "model remove"),
            *("runs list", "runs show", "runs compare", "runs verify", "runs remove"),
            *("recipe list", "recipe show", "recipe copy", "recipe check"),
            *("cache info", "cache verify", "cache prune"),
        ]
    )


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_help_has_two_examples_and_says_what_each_option_does(line: str, clipcap: Clipcap) -> None:
    said = clipcap(*line.split(), "--help")
    assert said.code == 0
    assert len(re.findall(rf"^    .*clipcap {line}", said.out, re.MULTILINE)) == 2
    assert "With --json: " in said.out
    for option in COMMAND_LINES[line].params:
        assert option.help, f"{line} {option.name}"
    for option in ("--json", "--quiet", "--debug", "--home", "--offline"):
        assert option in said.out


@pytest.mark.skipif(sys.platform == "win32", reason="there is no getrusage")
def test_help_is_there_at_once() -> None:
    import resource

    def cpu_seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "clipcap_cli", "--help"], check=True, capture_output=True, cwd=ROOT)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Processor time, and the best of a few: what else the machine does should not decide.
    assert min(cpu_seconds() for _ in range(5)) < 0.150


def test_help_imports_neither_rich_nor_any_room() -> None:
    code = "import sys; from clipcap_cli.cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    loaded = set(ended.stderr.split())
    rooms = {f"clipcap_cli.{module.name}" for module in pkgutil.iter_modules(clipcap_cli.__path__)}
    assert loaded & rooms == {"clipcap_cli._version", "clipcap_cli.cli", "clipcap_cli.errors"}
    assert not loaded & {"rich", "pydantic", "yaml", "numpy", "pandas", "torch"}


def test_version(clipcap: Clipcap) -> None:
    said = clipcap("--version")
    assert (said.code, said.out) == (0, f"clipcap {clipcap_cli.__version__}\n")


def test_nothing_typed_shows_the_help_and_is_a_usage_error(clipcap: Clipcap) -> None:
    said = clipcap()
    assert said.code == 2
    assert "clipcap dataset add ./food" in said.err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("capton a.jpg", "did you mean 'caption'?"),
        ("dataset lst", "'list'"),
        ("caption", "Missing argument 'PATH'"),
        ("caption --beam none a.jpg", "--beam"),
        ("caption --beam 3 --greedy a.jpg", "exclude each other"),
        ("caption --format sidecar --output a.txt a.jpg", "--output is one file"),
        ("caption --candidates 3 --contrastive a.jpg", "beam search"),
        ("caption --require ramen --sample a.jpg", "--require needs a beam search"),
        ("caption --samples 3 a.jpg", "--samples needs --sample"),
        ("caption --top-p 0.5 --greedy a.jpg", "--top-p needs --sample"),
        ("caption --top-k 5 a.jpg", "--top-k needs --sample or --contrastive"),
        ("caption --contrast 0.5 --sample a.jpg", "--contrast needs --contrastive"),
        ("caption --beam 3 --nucleus a.jpg", "exclude each other"),
        ("train", "Missing argument 'RECIPE|RUN'"),
        ("embed food --wrkers 3", "--workers"),
        ("train quickstart train.epochs", "'train.epochs' does not set a key"),
        ("eval food --decode beams", "'beams' does not set a key"),
    ],
)
def test_usage_errors_end_with_2_and_one_message(line: str, expected: str, clipcap: Clipcap) -> None:
    said = clipcap(*line.split())
    assert said.code == 2
    assert expected in said.err
    assert said.err.count("Error:") == 1
    assert said.out == ""


@pytest.mark.parametrize(
    "line",
    [
        ("train", "quickstart", "--dataset", ""),
        ("train", "quickstart", "--dataset="),
        ("train", "quickstart", ""),
        ("sweep", "quickstart", "train.lr=1,2", "--dataset", ""),
        ("eval", "food", "--dataset", ""),
        ("eval", "food", "--split", ""),
        ("runs", "compare", "food", "food-2", "--dataset", ""),
        ("caption", "a.jpg", "--ban", "a", "--ban", ""),
        ("model", "remove", "", "--yes"),
        ("dataset", "add", ""),
        ("dataset", "list", "--home", ""),
        ("--home", "", "dataset", "list"),
    ],
)
def test_what_was_left_empty_is_never_taken_for_what_was_not_said(line: tuple[str, ...], clipcap: Clipcap, home: Home) -> None:
    said = clipcap(*line)
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[-1].startswith("Error: Invalid value for ")
    assert said.err.splitlines()[-1].endswith(": it is empty")
    assert not home.root.exists()


def test_common_options_may_stand_before_or_after_the_command(clipcap: Clipcap) -> None:
    before, after = clipcap("--json", "dataset", "list"), clipcap("dataset", "list", "--json")
    assert before.out == after.out == "[]\n"


def test_home_wins_over_the_environment(clipcap: Clipcap, tmp_path: Path) -> None:
    said = clipcap("runs", "show", "none", "--home", tmp_path / "elsewhere")
    assert said.code == 3
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "home.json").write_text('{"layout": 99}')
    said = clipcap("dataset", "list", "--home", tmp_path / "newer")
    assert said.code == 6
    assert "newer than" in said.err


def test_one_command_line_leaves_nothing_for_the_next(clipcap: Clipcap, tmp_path: Path) -> None:
    clipcap("--json", "--quiet", "--home", tmp_path / "elsewhere", "dataset", "list")
    said = clipcap("dataset", "list")
    assert said.out == ""
    assert "There are no datasets yet." in said.err


def _break(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def broken() -> None:
        raise error

    monkeypatch.setattr(importlib.import_module("clipcap_cli.recipe"), "shipped_recipes", broken)


def test_a_bug_is_one_sentence_and_a_log_file(clipcap: Clipcap, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch, RuntimeError("no [red] such thing"))
    said = clipcap("recipe", "list")
    assert said.code == 1
    assert said.err.startswith("Error: this is a bug in clipcap (RuntimeError: no [red] such thing)")
    assert "Traceback" not in said.err
    [log] = home.logs.iterdir()
    assert str(log) in said.err
    assert "Traceback" in log.read_text()
    assert "'recipe', 'list'" in log.read_text()


def test_a_bug_is_logged_elsewhere_when_the_store_cannot_be_written(clipcap: Clipcap, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch, RuntimeError("oops"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    home.root.write_text("a file where the store should be")
    said = clipcap("recipe", "list")
    assert said.code == 1
    assert len(list(tmp_path.glob("clipcap-*.log"))) == 1


def test_debug_shows_the_traceback(clipcap: Clipcap, monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch, RuntimeError("oops"))
    assert "Traceback" in clipcap("recipe", "list", "--debug").err
    assert "Traceback" in clipcap("runs", "show", "none", "--debug").err


def test_an_interruption_ends_with_130_and_says_what_is_kept(clipcap: Clipcap, monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch, KeyboardInterrupt())
    said = clipcap("recipe", "list")
    assert said.code == 130
    assert said.err == "Error: interrupted\n  Nothing was changed.\n"


def test_a_full_disk_under_the_output_is_no_bug(clipcap: Clipcap, monkeypatch: pytest.MonkeyPatch) -> None:
    _break(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "out.csv"))
    said = clipcap("recipe", "list")
    assert said.code == 6
    assert said.err.startswith("Error: out.csv: the output could not be written: the disk is full")


def test_a_reader_that_has_had_enough_is_no_error() -> None:
    # More lines than any pipe holds, into one whose reader leaves after the first byte.
    code = """
import sys
import clipcap_cli.recipe
from clipcap_cli.cli.main import main
from clipcap_cli.cli.out import out

def recipes():
    for _ in range(100_000):
        out.text("r" * 100)
    return {}

clipcap_cli.recipe.shipped_recipes = recipes
sys.exit(main(["recipe", "list"]))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        process.stdout.close()
        errors = process.stderr.read().decode()
    assert process.returncode == 141
    assert errors == ""


def test_output_in_a_narrow_encoding_is_escaped_not_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "süß.yaml"
    recipe.write_text("# für Käse\nname: k\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    line = [sys.executable, "-m", "clipcap_cli", "recipe", "show", str(recipe)]
    ended = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0
    assert ended.stdout == "# f\\xfcr K\\xe4se\nname: k\n"
