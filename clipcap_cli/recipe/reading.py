"""From YAML and `key.sub=value` to a Recipe, with every mistake named at once and by its line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from clipcap_cli.errors import InputError, UsageError
from clipcap_cli.recipe.schema import Recipe
from clipcap_cli.storage.names import nearest, unknown
from clipcap_cli.storage.reading import read_small
from clipcap_cli.words import in_words

_PACKAGE = Path(__file__).resolve().parent.parent
SHIPPED = next(folder for folder in (_PACKAGE / "shipped_recipes", _PACKAGE.parent / "recipes") if folder.is_dir())
_EXTENDS = "extends"
_ENDINGS = (".yaml", ".yml")
_LISTING = "`clipcap recipe list` lists those that come with clipcap."
_LARGEST = 64 * 2**10  # bytes; the largest that clipcap ships has 2,000
_MOST_NODES = 10_000  # keys and values, with what `*name` repeats

_OUR_OWN = "value_error"  # what pydantic calls a mistake that the schema itself words, with the value in it

Key = tuple[str, ...]


@dataclass(frozen=True)
class _Document:
    """The values of a recipe's files merged, and where each key was written."""

    values: dict[str, Any]
    places: dict[Key, str]


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with clipcap, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.yaml"))}


def find_recipe(name: str | os.PathLike[str]) -> Path:
    """The file of a recipe: a path, or the name of a shipped one (with or without "recipes/" and ".yaml").

    Raises:
        InputError: there is no such file and no such shipped recipe, or it is a folder.
    """
    path, shipped = Path(name), shipped_recipes()
    if path.is_file():
        return path
    if path.is_dir() and (path / "recipe.yaml").is_file():
        return path / "recipe.yaml"
    if path.parent.as_posix() in (".", "recipes") and path.suffix in ("", *_ENDINGS) and path.stem in shipped:
        return shipped[path.stem]
    if path.exists():
        what = "a folder" if path.is_dir() else "a pipe or a device"
        raise InputError(f"this is {what}, not a recipe", where=str(name), hint=f"A recipe is a YAML file; {_LISTING}")
    if means_file(name):
        meant = nearest(path.stem, shipped)
        raise InputError("there is no such file", where=str(name), hint=f"Did you mean {meant!r}? {_LISTING}" if meant else _LISTING)
    raise unknown("recipe", str(name), shipped, listing="clipcap recipe list")


def means_file(name: str | os.PathLike[str]) -> bool:
    """Whether a file is meant, by its path or its ending, and not something by its name."""
    path = Path(name)
    return path.suffix in _ENDINGS or path.name != os.fspath(name)


def load_recipe(name: str | os.PathLike[str], overrides: Mapping[str, Any] | Iterable[str] = ()) -> Recipe:
    """Read, merge and check a recipe.

    Args:
        name: a path, or the name of a shipped recipe.
        overrides: `{"train.epochs": 3}` or `["train.epochs=3"]`; they win over the file.

    Raises:
        InputError: no such recipe, not YAML, or mistakes in it: all of them, each with its line.
        UsageError: an override sets no key.
    """
    path = find_recipe(name)
    document = _read(path, ())
    values, places = document.values, dict(document.places)
    pairs = overrides.items() if isinstance(overrides, Mapping) else map(_parse_override, overrides)
    for dotted, value in pairs:
        key = tuple(dotted.split("."))
        place: Any = values
        for part in key[:-1]:
            if not isinstance(place.get(part), dict):
                place[part] = {}
            place = place[part]
        place[key[-1]] = value
        places[key] = "command line"
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise _mistakes(error, path, places) from error


def dump_recipe(recipe: Recipe) -> str:
    """The whole recipe as YAML, every default written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def parse_values(texts: Iterable[str]) -> dict[str, Any]:
    """`["max_tokens=20"]` as `{"max_tokens": 20}`; values are YAML.

    Raises:
        UsageError: one of them is not written so.
        InputError: the value of one is not YAML.
    """
    return dict(map(_parse_override, texts))


def _parse_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{text!r} does not set a key", where="command line", hint="Write key.sub=value, as in train.epochs=3.")
    try:
        return key.strip(), yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"the value of {key!r} is not YAML: {value!r:.60}", where="command line", hint="Put it in quotes.") from error


def _read(path: Path, opened: tuple[Path, ...]) -> _Document:
    if path.resolve() in opened:
        raise InputError("this recipe extends itself", where=str(path), hint=f"Take one of the '{_EXTENDS}:' lines out.")
    try:
        text = read_small(path, _LARGEST)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _check_size(root, path)
        values = yaml.safe_load(text) or {}
    except UnicodeDecodeError as error:
        raise InputError("this recipe is not UTF-8 text", where=str(path), hint="Recipes are YAML files; `clipcap recipe list` shows some.") from error
    except OSError as error:
        raise InputError(f"this recipe cannot be read: {error.strerror}", where=str(path)) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise InputError(
            f"this is not YAML: {getattr(error, 'problem', None) or error}",
            where=f"{path}:{mark.line + 1}" if mark else str(path),
            hint="Compare it with `clipcap recipe show quickstart`.",
        ) from error
    except (ValueError, RecursionError) as error:  # a 13th month; brackets in brackets
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"this recipe cannot be read: {reason}", where=str(path), hint="Compare it with `clipcap recipe show quickstart`.") from error
    if not isinstance(values, dict):
        raise InputError(
            f"a recipe is a list of 'key: value' lines, not {values!r:.60}", where=str(path), hint="Compare it with `clipcap recipe show quickstart`."
        )
    places: dict[Key, str] = {}
    if isinstance(root, yaml.MappingNode):
        _find_places(root, (), path, places)
    parent = values.pop(_EXTENDS, None)
    if parent is None:
        return _Document(values, places)
    if not isinstance(parent, str):
        raise InputError(f"'{_EXTENDS}' names one recipe, not {parent!r}", where=places.get((_EXTENDS,), str(path)))
    beside = path.parent / parent
    try:
        found = beside if beside.is_file() else find_recipe(parent)
    except OSError as error:  # a name that is longer than any
        raise InputError(f"'{_EXTENDS}' names a recipe that cannot be read: {error.strerror}", where=places.get((_EXTENDS,), str(path))) from error
    base = _read(found, (*opened, path.resolve()))
    return _Document(_merge(base.values, values), {**base.places, **places})


def _check_size(root: yaml.Node | None, path: Path) -> None:
    """A few lines of YAML can stand for any number of values, since `*name` repeats what `&name` marks: they are counted before they are made."""
    nodes = [root] if root else []
    count = 0
    while nodes:
        node = nodes.pop()
        count += 1
        if count > _MOST_NODES:
            raise InputError(f"this recipe has more than {_MOST_NODES:,} values", where=str(path), hint="Compare it with `clipcap recipe show quickstart`.")
        if isinstance(node, yaml.MappingNode):
            nodes += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value


def _find_places(node: yaml.MappingNode, above: Key, path: Path, places: dict[Key, str]) -> None:
    for key_node, value_node in node.value:
        key = (*above, str(key_node.value))
        place = f"{path}:{key_node.start_mark.line + 1}"
        if key in places:
            raise InputError(f"the key {'.'.join(key)!r} is there twice", where=place, hint=f"The first is at {places[key]}.")
        places[key] = place
        if isinstance(value_node, yaml.MappingNode):
            _find_places(value_node, key, path, places)


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _mistakes(error: ValidationError, path: Path, places: Mapping[Key, str]) -> InputError:
    lines = []
    for mistake in error.errors():
        key = tuple(map(str, mistake["loc"]))
        place = next((places[key[:end]] for end in range(len(key), 0, -1) if key[:end] in places), str(path))
        lines.append(f"{place}: {_sentence(key, mistake['type'], mistake['msg'], mistake['input'])}")
    count = "a mistake" if len(lines) == 1 else f"{len(lines)} mistakes"
    return InputError(f"the recipe has {count}:\n  " + "\n  ".join(lines), where=str(path), hint="docs/recipe.md lists every key.")


def _sentence(key: Key, kind: str, message: str, value: Any) -> str:
    dotted = ".".join(key)
    if kind == "extra_forbidden":
        meant = nearest(key[-1], _keys_beside(key)) or nearest(key[-1], _all_keys())
        return f"unknown key {dotted!r}" + (f"; did you mean {meant!r}?" if meant else "")
    if value is None:
        return f"{dotted} has no value: write one, or leave the key out"
    if kind == _OUR_OWN:
        return f"{dotted}: {message.removeprefix('Value error, ')}"
    detail = in_words(message)
    return f"{dotted}: {detail}" if isinstance(value, dict | BaseModel) else f"{dotted}: {detail}, not {value!r:.60}"


def _keys_beside(key: Key) -> list[str]:
    part: Any = Recipe
    for name in key[:-1]:
        field = part.model_fields.get(name)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return []
        part = field.annotation
    return list(part.model_fields)


def _all_keys() -> list[str]:
    keys = []
    for name, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            keys += [f"{name}.{sub}" for sub in field.annotation.model_fields]
        else:
            keys.append(name)
    return keys
