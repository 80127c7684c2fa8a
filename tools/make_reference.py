"""Write docs/cli.md and docs/recipe.md from the program itself; with --check, only say whether they are as they should be.

python tools/make_reference.py
python tools/make_reference.py --check
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from clipcap_cli.cli.main import COMMANDS, app
from clipcap_cli.recipe import Recipe, shipped_recipes

DOCS = Path(__file__).resolve().parent.parent / "docs"
HEAD = "<!-- Made by tools/make_reference.py; change the program, not this file. -->\n"


def cli_reference() -> str:
    """Every command in the order of the road: usage, arguments, options, examples, JSON."""
    root: Any = typer.main.get_command(app)
    context = typer.Context(root, info_name="clipcap")
    parts = [
        f"{HEAD}\n# Commands\n",
        f"```text\n{_examples(root)}\n```\n",
        _rest_of_epilog(root) + "\n",
        "Every command has these options, and so has `clipcap` itself:\n",
    ]
    parts.append(_options(root.get_command(context, "doctor").common))
    own = [option for option in root.params if option.name in ("version", "install_completion", "show_completion")]
    parts.append(f"`clipcap` alone has these:\n\n{_options(own)}")
    for name in COMMANDS:
        command = root.get_command(context, name)
        below = getattr(command, "commands", None)
        if below is None:
            parts.append(_section(f"clipcap {name}", command, "##"))
            continue
        parts.append(f"## clipcap {name}\n\n{command.help}\n")
        parts += [_section(f"clipcap {name} {verb}", subcommand, "###") for verb, subcommand in below.items()]
    return "\n".join(parts)


def _section(path: str, command: Any, heading: str) -> str:
    own = [param for param in command.params if param not in command.common]
    arguments = [param for param in own if param.param_type_name == "argument"]
    options = [param for param in own if param.param_type_name == "option"]
    usage = " ".join([path, *(_usage(argument) for argument in arguments), *(["[OPTIONS]"] if options else [])])
    tables = [_arguments(arguments)] if arguments else []
    tables += [_options(options)] if options else []
    return "\n".join(
        [f"{heading} {path}\n", f"`{usage}`\n", f"{command.help}\n", *tables, f"```text\n{_examples(command)}\n```\n", f"{_rest_of_epilog(command)}\n"]
    )


def _usage(argument: Any) -> str:
    text = argument.metavar + ("..." if argument.nargs == -1 else "")
    return text if argument.required else f"[{text}]"


def _arguments(arguments: list[Any]) -> str:
    rows = [f"| `{argument.metavar}` | {_cell(argument.help)} |" for argument in arguments]
    return "\n".join(["| argument | meaning |", "|---|---|", *rows]) + "\n"


def _options(options: list[Any]) -> str:
    rows = []
    for option in options:
        value = f" {option.metavar}" if option.metavar else ""
        default = "" if option.default in (None, False) else f" Default: `{option.default}`."
        rows.append(f"| `{_cell(', '.join(option.opts) + value)}` | {_cell(option.help)}{default} |")
    return "\n".join(["| option | meaning |", "|---|---|", *rows]) + "\n"


def _examples(command: Any) -> str:
    """The lines between "Examples:" and the next empty one."""
    return "\n".join(line.strip() for line in command.epilog.partition("\n\n")[0].splitlines()[2:])


def _rest_of_epilog(command: Any) -> str:
    return str(command.epilog.partition("\n\n")[2])


def recipe_reference() -> str:
    """Every key of a recipe: type, default, range, meaning."""
    shipped = ", ".join(f"`{name}`" for name in shipped_recipes())
    intro = (
        "A recipe is a YAML file that says everything a run depends on. Every key has a default, so that a recipe only says what is different; "
        "`clipcap recipe show NAME --full` writes all of them out, `clipcap recipe check FILE` names every mistake with its line. "
        f"Shipped are {shipped}.\n\n"
        "`extends: OTHER` takes another recipe (a file beside it, or a shipped one) as the base. On the command line, `key.sub=value` wins over the file: "
        "`clipcap train quickstart train.epochs=3`.\n"
    )
    schema = Recipe.model_json_schema()
    simple = {key: about for key, about in schema["properties"].items() if not _part(about, schema)}
    parts = [f"{HEAD}\n# The recipe\n", intro, _table(simple, "")]
    for key, about in schema["properties"].items():
        part = _part(about, schema)
        if part:
            parts.append(f"## {key}\n\n{part['description']}\n\n{_table(part['properties'], key + '.')}")
    return "\n".join(parts)


def _part(about: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any] | None:
    """The section that a key opens, or None for a key with a value."""
    reference = about.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else None


def _table(keys: dict[str, Any], prefix: str) -> str:
    rows = [f"| `{prefix}{key}` | {' or '.join(_types(about))} | {_default(about)} | {_cell(about['description'])} |" for key, about in keys.items()]
    return "\n".join(["| key | value | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


def _default(about: dict[str, Any]) -> str:
    value = about.get("default")
    return "`null`" if value is None else f"`{str(value).lower()}`" if isinstance(value, bool) else f"`{value}`"


def _types(about: dict[str, Any]) -> Iterator[str]:
    if "anyOf" in about:
        for kind in about["anyOf"]:
            yield from _types(kind)
    elif "enum" in about:
        yield from (f"`{value}`" for value in about["enum"])
    else:
        yield {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`", "null": "`null`", "array": "list of texts"}[
            about["type"]
        ] + _range(about)


def _range(about: dict[str, Any]) -> str:
    signs = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "exclusiveMaximum": "less than"}
    limits = [f"{sign} {about[name]:g}" if abs(about[name]) < 1e6 else f"{sign} {about[name]}" for name, sign in signs.items() if name in about]
    return f" ({', '.join(limits)})" if limits else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write or check; 1 if a file is not as it should be."""
    stale = []
    for name, text in {"cli.md": cli_reference(), "recipe.md": recipe_reference()}.items():
        path = DOCS / name
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"docs/{', docs/'.join(stale)}: not as the program is; run python tools/make_reference.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
