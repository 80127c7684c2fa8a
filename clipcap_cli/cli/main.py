"""The command `clipcap`. A group's module is imported when that group is called, so that help is there at once."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from clipcap_cli._version import __version__
from clipcap_cli.cli import options
from clipcap_cli.cli.failures import report

# Every command, in the order of the road: its module in this folder, and its line of help.
COMMANDS = {
    "dataset": "Add pictures with captions, and look at what is there.",
    "embed": "Turn a dataset's pictures into vectors, once.",
    "train": "Train a captioner from a recipe.",
    "sweep": "Train one recipe with several settings, and say which came out best.",
    "caption": "Write captions for pictures.",
    "eval": "Score captions, with intervals and baselines, and write a report.",
    "serve": "Caption pictures over HTTP, with a page for people.",
    "export": "Write a captioner for others: a bundle, the original code, onnx, the hub.",
    "model": "List captioners, and choose the one in use.",
    "runs": "List trainings, and look at how they went.",
    "recipe": "List, show, copy and check recipes.",
    "cache": "Say what the store holds, whether it is whole, and what may go.",
    "doctor": "Say what this machine has, and what is missing.",
}


class Road(TyperGroup):
    """The group of all commands, each loaded when it is needed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what stands before the command."""
        options.refuse_empty(self, ctx, args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in the order of the road."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            module = importlib.import_module(f"clipcap_cli.cli.{cmd_name}")
            self.commands[cmd_name] = typer.main.get_command(module.app)
        return self.commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that was meant."""
        if args[0] not in COMMANDS:
            from clipcap_cli.storage.names import nearest

            meant = nearest(args[0], COMMANDS)
            ctx.fail(f"there is no command {args[0]!r}" + (f"; did you mean {meant!r}?" if meant else ""))
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="clipcap",
    cls=Road,
    no_args_is_help=True,
    help="Teach a machine to caption pictures of your own world.",
    epilog=(
        "\b\nExamples:\n  clipcap dataset add ./food\n  clipcap train recipes/food.yaml\n  clipcap caption *.jpg --beam 5\n\n"
        "The store is $CLIPCAP_HOME, or --home. Exit codes: 0 done, 1 a bug of ours, 2 usage, 3 the input is wrong or not found, "
        "4 weights or a package are missing, 5 finished but some items failed, 6 the store is busy, full, damaged or read-only, 7 a process or machine "
        "that the work needs is gone, 130 interrupted."
    ),
    # Plain text: drawing boxes would take longer than all the rest.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def clipcap(
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
    home: options.HomeFolder = None,
    offline: options.Offline = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=lambda asked: _version(asked))] = False,
) -> None:
    """Take in the options that stand before the command."""
    options.everywhere(json=json, quiet=quiet, debug=debug, home=home, offline=offline)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"clipcap {__version__}\n")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: what was typed after `clipcap`; None for those of this process.

    Returns:
        The exit code.
    """
    # Threads of a matrix product that wait for one another spin at first; how long is libgomp's choice, and beside another busy program a long spin takes the
    # cores from those that are waited for (docs/performance.md). It counts only if it is there before torch is loaded; whoever sets it themselves wins.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    options.reset()
    typed = list(sys.argv[1:] if arguments is None else arguments)
    options.settings.arguments = typed
    for stream in (sys.stdout, sys.stderr):
        # A character that the terminal cannot show is no reason to fail.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = typer.main.get_command(app).main(typed, prog_name="clipcap", standalone_mode=False)
    except Exception as error:
        settings = options.settings
        return report(error, arguments=typed, home=settings.home, debug=settings.debug, kept=settings.kept)
    return code if isinstance(code, int) else 0
