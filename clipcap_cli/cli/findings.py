"""What a check found, in three levels, and whether what a recipe names is here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from clipcap_cli.cli.out import out
from clipcap_cli.errors import ClipcapError, InputError, MissingError
from clipcap_cli.words import count, sentences

if TYPE_CHECKING:
    from clipcap_cli.recipe import Recipe
    from clipcap_cli.storage.home import Home

_DONE = 0


@dataclass(frozen=True)
class Finding:
    """One line of a check. "warn" is for what works, but not yet or not as well as it could; "fail" for what must be mended first.

    `exit_code` is that of the error behind a "fail".
    """

    level: Literal["good", "warn", "fail"]
    subject: str
    message: str
    hint: str = ""
    exit_code: int = _DONE


def found(subject: str, look: Callable[[], str], *, missing: Literal["warn", "fail"] = "fail") -> Finding:
    """What `look` says, or what it raises as a finding of level `missing`."""
    try:
        return Finding("good", subject, look())
    except ClipcapError as error:
        message = f"{error.where}: {error.message}" if error.where else error.message
        return Finding(missing, subject, message, error.hint or "", error.exit_code if missing == "fail" else _DONE)


def show_findings(findings: Sequence[Finding]) -> None:
    """Print them; a "fail" among them ends the command with the exit code of the first."""
    out.result([{name: value for name, value in asdict(finding).items() if name != "exit_code"} for finding in findings])
    out.table(("", "", ""), [(finding.level, finding.subject, sentences(finding.message, finding.hint)) for finding in findings])
    failed = [finding for finding in findings if finding.level == "fail"]
    if failed:
        raise typer.Exit(failed[0].exit_code)


def _texts(path: str) -> Finding:
    if Path(path).expanduser().is_file():
        return Finding("good", "texts", path)
    return Finding("warn", "texts", f"there is no file {path!r}", "Name one with dataset.texts=FILE: a caption a line.")


def check_recipe(recipe: Recipe, home: Home) -> list[Finding]:
    """Whether the dataset, the encoder, the language model and the model to start from that `recipe` names are here. Loads no torch, downloads nothing."""
    from clipcap_cli.storage.downloads import is_offline

    absent: Literal["warn", "fail"] = "fail" if is_offline() else "warn"
    findings = [Finding("good", "recipe", f"{recipe.name}: every key is known and in range")]
    texts = recipe.dataset.texts
    if texts is not None and texts != "captions":
        findings.append(_texts(texts))
    if recipe.dataset.name is None and texts is not None and recipe.dataset.val is None:
        pass  # texts are all that is learned from
    elif recipe.dataset.name is None:
        findings.append(Finding("warn", "dataset", "the recipe names none", "Add dataset.name=NAME when you train."))
    else:
        findings.append(found("dataset", lambda: _dataset(recipe, home), missing="warn"))
    findings.append(found("encoder", lambda: _encoder_spec(recipe)))
    if findings[-1].level == "good":
        findings[-1] = found("encoder", lambda: _encoder(recipe, home), missing=absent)
    findings.append(found("language model", lambda: language_model_at_hand(recipe.language_model.name, home), missing=absent))
    if recipe.init is not None:
        findings.append(found("init", lambda: _init(recipe.init or "", home)))
    return findings


def language_model_at_hand(name: str, home: Home) -> str:
    """`gpt2: FOLDER`.

    Raises:
        InputError: there is no such language model.
        MissingError: it is not here.
    """
    from clipcap_cli.captioner.lm_folders import find_folder
    from clipcap_cli.storage.downloads import is_offline

    may_be_fetched = not is_offline()
    try:
        with _nothing_downloaded():
            return f"{name}: {find_folder(name, home=home)}"
    except MissingError as error:
        if may_be_fetched:
            raise MissingError(f"{name} is not here", hint="It is downloaded when it is used first.") from error
        raise


def _dataset(recipe: Recipe, home: Home) -> str:
    from clipcap_cli.datasets.dataset import open_dataset

    dataset = open_dataset(recipe.dataset.name or "", home=home)
    splits = dataset.splits()
    lacking = [split for split in (recipe.dataset.train, recipe.dataset.val) if split is not None and split not in splits]
    sizes = ", ".join(f"{name} {pictures:,}" for name, pictures in splits.items()) or "none"
    if lacking:
        raise InputError(f"{dataset.name} v{dataset.version} has no split {lacking[0]!r}; its splits are: {sizes}")
    return f"{dataset.name} v{dataset.version}: {count(dataset.pictures, 'picture')} ({sizes})"


def _init(name: str, home: Home) -> str:
    from clipcap_cli.captioner.models import find_captioner

    return f"{name}: {find_captioner(name, home).path}"


def _encoder_spec(recipe: Recipe) -> str:
    from clipcap_cli.encoders.registry import check_spec

    check_spec(recipe.encoder.name)
    return recipe.encoder.name


def _encoder(recipe: Recipe, home: Home) -> str:
    from clipcap_cli.encoders.registry import known_encoders

    info = next((info for info in known_encoders(home) if info.spec == recipe.encoder.name), None)
    if info is None:
        return f"{recipe.encoder.name}: looked for when it is used"
    if not info.usable:
        raise MissingError(f"{info.spec} needs {info.needs}")
    return f"{info.spec}: D {info.embedding_size}, pictures {info.image_size} x {info.image_size}"


@contextmanager
def _nothing_downloaded() -> Iterator[None]:
    before = os.environ.get("CLIPCAP_OFFLINE")
    os.environ["CLIPCAP_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["CLIPCAP_OFFLINE"]
        else:
            os.environ["CLIPCAP_OFFLINE"] = before
