from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipcap_cli.cli.out import Out, printable, to_json
from clipcap_cli.errors import InputError


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@given(st.text())
def test_printable_text_is_one_line_without_control_characters(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert all(character.isprintable() or character not in "\x1b\r\n\t\x07\u202e" for character in shown)
    shown.encode("utf-8")


def test_a_caption_with_markup_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    out = Out()
    out.text("a [red]car[/red] [link=x]")
    out.table(("caption",), [("a [bold]cat[/]",)])
    out.error("no [red] here", where="[x]", hint="[y]")
    said = capsys.readouterr()
    assert said.out == "a [red]car[/red] [link=x]\ncaption\na [bold]cat[/]\n"
    assert said.err == "Error: [x]: no [red] here\n  [y]\n"


def test_an_escape_sequence_in_a_caption_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    out = Out()
    out.text("a \x1b[31mred\x1b[0m car")
    out.table(("caption",), [("\x1b]0;title\x07\r",)])
    assert "\x1b" not in capsys.readouterr().out


def test_json_mode_says_the_result_and_nothing_else_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    out = Out()
    out.json = True
    out.text("for people")
    out.table(("a",), [("b",)])
    out.result({"caption": "süß [red]"})
    out.hint("next")
    said = capsys.readouterr()
    assert json.loads(said.out) == {"caption": "süß [red]"}
    assert said.err == ""


def test_quiet_keeps_warnings_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    out = Out()
    out.quiet = True
    out.note("a note")
    out.hint("a command")
    out.warning("mend this")
    assert capsys.readouterr().err == "Warning: mend this\n"


def test_json_of_a_file_name_that_is_no_text_can_be_read_back() -> None:
    name = "caf\udce9.jpg"
    assert json.loads(to_json({"path": name})) == {"path": name}


def test_colours_only_on_a_terminal_and_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    Out().warning("one")
    monkeypatch.setenv("NO_COLOR", "1")
    Out().warning("two")
    first, second = terminal.getvalue().splitlines()
    assert first.startswith("\x1b[")
    assert second == "Warning: two"


def test_a_table_for_a_program_is_not_cut(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    Out().table(("caption",), [("word " * 100,)])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_without_a_terminal_nothing_is_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(InputError, match="no terminal") as raised:
        Out().confirm("Remove it?", yes=False, otherwise="nothing was removed")
    assert raised.value.hint == "Add --yes."
    assert Out().confirm("Remove it?", yes=True, otherwise="nothing was removed")


@pytest.mark.parametrize(("answer", "goes_on"), [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("", False)])
def test_only_a_yes_confirms(answer: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert Out().confirm("Remove it?", yes=False, otherwise="nothing was removed") is goes_on
    assert ("Nothing was removed." in capsys.readouterr().err) is not goes_on
