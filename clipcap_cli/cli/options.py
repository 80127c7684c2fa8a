"""What every command understands, and how commands are declared."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from clipcap_cli.cli.failures import Interrupted, OutputClosed, keep_quiet
from clipcap_cli.cli.out import out

if TYPE_CHECKING:
    from clipcap_cli.storage.home import Home

Function = TypeVar("Function", bound=Callable[..., None])


@dataclass
class Settings:
    """What was asked for on this command line."""

    home: Path | None = None
    debug: bool = False
    arguments: Sequence[str] = ()
    kept: str = "Nothing was changed."  # what an interrupted command leaves behind


settings = Settings()

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results, warnings and errors only.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, and the warnings of libraries.")]
HomeFolder = Annotated[Path | None, typer.Option("--home", metavar="FOLDER", help="The store to use, instead of $CLIPCAP_HOME.")]
Offline = Annotated[bool, typer.Option("--offline", help="Download nothing; the same as CLIPCAP_OFFLINE=1.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def everywhere(json: Json = False, quiet: Quiet = False, debug: Debug = False, home: HomeFolder = None, offline: Offline = False) -> None:
    """Take in the options that stand before or after any command."""
    out.json |= json
    out.quiet |= quiet
    settings.debug |= debug
    settings.home = home or settings.home
    if offline:
        os.environ["CLIPCAP_OFFLINE"] = "1"


def refuse_empty(command: Any, ctx: Any, args: list[str]) -> None:
    """Whether every option and argument that was given says something: nothing of clipcap means anything when it is empty.

    Raises:
        typer.BadParameter: one is empty, as in `--dataset "$NAME"` where NAME was never set.
    """
    if ctx.resilient_parsing:  # the shell asks what could be typed
        return
    given, _, _ = command.make_parser(ctx).parse_args(args=[*args])
    for one in command.get_params(ctx):
        value = given.get(one.name)
        if value == "" or (isinstance(value, list | tuple) and "" in value):
            raise typer.BadParameter("it is empty", ctx=ctx, param=one)


def reset() -> None:
    """Forget an earlier command line of this process."""
    out.json = out.quiet = False
    settings.home, settings.debug, settings.arguments, settings.kept = None, False, (), Settings.kept


def home() -> Home:
    """The store that this command works in."""
    from clipcap_cli.storage.home import open_home

    return open_home(settings.home)


class Command(TyperCommand):
    """A command that takes the options of `everywhere` too."""

    def __init__(self, *args: Any, params: list[Any], **rest: Any) -> None:
        probe = typer.Typer(add_completion=False)
        probe.command()(everywhere)
        self.common = list(typer.main.get_command(probe).params)
        super().__init__(*args, params=[*params, *self.common], **rest)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line, on which nothing may be empty."""
        refuse_empty(self, ctx, args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> None:
        """Run the command with the common options taken in."""
        everywhere(**{str(option.name): ctx.params.pop(option.name) for option in self.common})
        try:
            with keep_quiet(unless=settings.debug):
                super().invoke(ctx)
                sys.stdout.flush()  # while errors can still be told
        # The parser that is below would swallow these two and end with codes of its own.
        except KeyboardInterrupt as error:
            raise Interrupted from error
        except BrokenPipeError as error:
            raise OutputClosed from error

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """List the command's own options, then those that every command has."""
        everything = self.params
        own = [option for option in everything if option not in self.common]
        try:
            self.params = own
            super().format_options(ctx, formatter)
        finally:
            self.params = everything
        with formatter.section("Options of every command"):
            formatter.write_dl([option.get_help_record(ctx) for option in self.common])


def command(app: typer.Typer, name: str, *, examples: tuple[str, ...], json: str) -> Callable[[Function], Function]:
    """Declare a command.

    Args:
        examples: lines that can be pasted.
        json: what `--json` prints.
    """
    lines = "\n".join(f"  {line}" for line in examples)
    return app.command(name, cls=Command, epilog=f"\b\nExamples:\n{lines}\n\nWith --json: {json}")
