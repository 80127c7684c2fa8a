"""From a captioner to what others can use: one function, four formats.

bundle      a folder or tar for clipcap elsewhere
original    a checkpoint for the original ClipCap code
onnx        a folder for whoever has no torch
hub         a bundle, uploaded
"""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.captioner.manifest import belongs
from clipcap_cli.captioner.models import Found, find_captioner
from clipcap_cli.captioner.tar import SUFFIX
from clipcap_cli.errors import InputError, UsageError
from clipcap_cli.events import Listener, silent
from clipcap_cli.exports.bundle import export_bundle
from clipcap_cli.exports.original import export_original
from clipcap_cli.exports.places import Fill, check_place, put_folder, put_tar
from clipcap_cli.storage.atomic import replacing, store_errors
from clipcap_cli.storage.home import Home, open_home
from clipcap_cli.storage.hub import check_repo, check_upload, upload_folder
from clipcap_cli.storage.names import nearest
from clipcap_cli.training.runs import Run

Format = Literal["bundle", "original", "onnx", "hub"]
FORMATS: tuple[str, ...] = get_args(Format)
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")  # as the hub writes them: "mit", "cc-by-4.0"


@dataclass(frozen=True)
class Options:
    """What may be asked for beside the format; most of it for some formats only.

    Attributes:
        self_contained: bundle, hub: language model, tokenizer and encoder inside.
        tar: bundle, onnx: one file in the place of a folder.
        licence: bundle, hub: what the card states, as the hub writes it ("mit").
        old_buffers: original: with the attention buffers of transformers up to 4.29; None for yes.
        int8: onnx: weights in eight bits.
        repo, private: hub: "org/name", and whether a new one is private.
        overwrite: all but hub: replace an earlier export.
    """

    self_contained: bool = False
    tar: bool = False
    licence: str | None = None
    old_buffers: bool | None = None
    int8: bool = False
    repo: str | None = None
    private: bool = False
    overwrite: bool = False


_BELONG = {
    "self_contained": ("bundle", "hub"),
    "tar": ("bundle", "onnx"),
    "licence": ("bundle", "hub"),
    "old_buffers": ("original",),
    "int8": ("onnx",),
    "repo": ("hub",),
    "private": ("hub",),
    "overwrite": ("bundle", "original", "onnx"),
}
_FLAGS = {"licence": "--license", "old_buffers": "--old-buffers and --no-old-buffers"}


def export(
    model: Run | str | os.PathLike[str],
    format: str = "bundle",
    output: str | os.PathLike[str] | None = None,
    *,
    self_contained: bool = False,
    tar: bool = False,
    licence: str | None = None,
    old_buffers: bool | None = None,
    int8: bool = False,
    repo: str | None = None,
    private: bool = False,
    overwrite: bool = False,
    home: Home | None = None,
    events: Listener = silent,
) -> Path | str:
    """Write a captioner in a form that others can use.

    Args:
        model: a run, or the name of a run or model, or a bundle's folder.
        format: "bundle", "original", "onnx" or "hub".
        output: a folder or file; None for the captioner's name in the current folder.
        self_contained: bundle, hub: language model, tokenizer and encoder inside.
        tar: bundle, onnx: one file in the place of a folder.
        licence: bundle, hub: what the model card states, as the hub writes it ("mit").
        old_buffers: original: with the buffers that transformers up to 4.29 has in attention layers, and later ones refuse; yes if nothing is said.
        int8: onnx: weights in eight bits.
        repo: hub: "org/name".
        private: hub: whether the repository, if it is made now, is private.
        overwrite: replace an earlier export.
        home: the store; None for the usual one.

    Returns:
        What was written; for the hub the address of the commit.

    Raises:
        UsageError: there is no such format, or it does not have what is asked for.
        InputError: there is no such captioner, the format cannot have it, or something else is at `output`.
        MissingError: weights that should go inside are missing, or the hub cannot be written to.
        StoreError: the captioner is damaged, or `output` cannot be written.
    """
    home = home or (model.home if isinstance(model, Run) else open_home())
    options = Options(self_contained, tar, licence, old_buffers, int8, repo, private, overwrite)
    _check(format, options, output is not None)
    found = Found(model.best, "run", model.name, "it is that run's") if isinstance(model, Run) else find_captioner(os.fspath(model), home)
    name = Path(found.name).resolve().name if found.kind == "bundle" else found.name
    if format == "hub":
        return _upload(found, options, home, events)
    place = Path(output).expanduser() if output is not None else Path(_usual_output(format, name, tar))
    check_place(place, folder=format != "original" and not tar, overwrite=overwrite, home=home)
    if format == "original":
        with replacing(place) as part:
            export_original(load_bundle(found.path, home=home, device="cpu"), part, old_buffers=old_buffers is not False, events=events)
        return place
    fill = _filler(found, format, name, options, home, events)
    if tar:
        put_tar(place, fill)
    else:
        put_folder(place, fill)
    return place


def _filler(found: Found, format: str, name: str, options: Options, home: Home, events: Listener) -> Fill:
    """What fills an empty folder with the export."""

    def bundle(folder: Path) -> None:
        export_bundle(found, folder, name=name, self_contained=options.self_contained, licence=options.licence, repo=options.repo, home=home, events=events)

    def onnx(folder: Path) -> None:
        from clipcap_cli.exports.onnx.exporting import export_onnx

        made = export_onnx(load_bundle(found.path, home=home, device="cpu"), folder / ".made", int8=options.int8, name=name, events=events)
        for path in made.iterdir():
            path.rename(folder / path.name)
        made.rmdir()

    return onnx if format == "onnx" else bundle


def _upload(found: Found, options: Options, home: Home, events: Listener) -> str:
    assert options.repo is not None
    check_upload(options.repo)
    name = options.repo.rpartition("/")[2]
    with tempfile.TemporaryDirectory(prefix="clipcap-") as scratch:
        folder = Path(scratch)
        with store_errors(folder):
            _filler(found, "bundle", name, options, home, events)(folder)
        return upload_folder(folder, options.repo, private=options.private, message=f"The captioner {name}", replaces=belongs, events=events)


def _check(format: str, options: Options, has_output: bool) -> None:
    """Refuse what is not known or would have no effect.

    Raises:
        InputError, UsageError: something of that kind.
    """
    if format not in FORMATS:
        meant = nearest(format, FORMATS)
        raise UsageError(f"there is no format {format!r}" + (f"; did you mean {meant!r}?" if meant else ""), hint=f"There are: {', '.join(FORMATS)}.")
    for option, formats in _BELONG.items():
        value = getattr(options, option)
        if (value is not None if option == "old_buffers" else value) and format not in formats:
            flag = _FLAGS.get(option, f"--{option.replace('_', '-')}")
            raise UsageError(f"{flag} has no effect on the format {format}", hint=f"Leave it out; it is for {' and '.join(formats)}.")
    if options.licence is not None and not _LICENCE.fullmatch(options.licence):
        raise InputError(f"{options.licence!r} is no licence as the hub writes them", where="--license", hint="Write mit, apache-2.0, cc-by-4.0, other, …")
    if format == "hub":
        if options.repo is None:
            raise UsageError("it is not said where on the hub the captioner goes", hint="Add --repo ORGANISATION/NAME.")
        if has_output:
            raise UsageError("--output has no effect on the format hub", hint="Leave it out, or export a bundle.")
        check_repo(options.repo)


def _usual_output(format: str, name: str, tar: bool) -> str:
    """The name of an export in the current folder."""
    stem = f"{name}-onnx" if format == "onnx" else name
    return f"{stem}.pt" if format == "original" else f"{stem}{SUFFIX}" if tar else stem
