"""Folders and tables from strangers: names that lead elsewhere, texts that are none, links in circles."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hostile_tools import Stage, replace, sparse

IMAGE_NAMES = {
    "leads out": "../../outside/precious.txt",
    "absolute": "/etc/passwd",
    "a device": "CON",
    "zero bytes": "red\0.png",
    "a new line": "red\n.png",
    "an escape": "\x1b[2J.png",
    "300 letters": "x" * 300 + ".png",
    "10,000 letters": "x" * 10_000 + ".png",
    "an address": "http://127.0.0.1:9/x.png",
    "a file's address": "file:///etc/passwd",
    "a home": "~/x.png",
    "a formula": "=cmd|' /C calc'!A0",
    "dots only": "../" * 200 + "etc/passwd",
}


@pytest.mark.parametrize("name", IMAGE_NAMES)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_name_in_a_table_that_is_no_picture_s_is_told(form: str, name: str, stage: Stage) -> None:
    folder = stage.work / "mixed"
    shutil.copytree(stage.pictures / "train", folder, ignore=shutil.ignore_patterns("*.txt"))
    rows = [(IMAGE_NAMES[name], "a secret"), ("red.png", "a red picture")]
    with (folder / f"metadata.{form}").open("w", newline="") as stream:
        if form == "csv":
            csv.writer(stream).writerows([("file_name", "text"), *rows])
        else:
            stream.writelines(json.dumps({"file_name": image, "text": text}) + "\n" for image, text in rows)
    said = stage.run("dataset", "add", folder)
    assert said.code == 0, said.err
    assert "1 picture, 1 caption" in said.out
    assert "a secret" not in stage.run("dataset", "show", "mixed", "--json").out
    assert not {"\x1b", "\0"} & set(said.out + said.err + stage.run("dataset", "show", "mixed").out)


TABLES = {
    "zeros": bytes(100_000),
    "zero bytes": b"image,caption\nred.png,a \0 red\0 picture\n",
    "UTF-32 that is none": b"\xff\xfe\0\0" + b"\xff" * 99,
    "UTF-16 cut short": b"\xff\xfei\0m\0a",
    "one line of 10 MB": b"image,caption\nred.png," + b"x" * 10**7,
    "a header of 10 MB": b"x" * 10**7,
    "100,000 columns": b"image,caption" + b",x" * 100_000 + b"\nred.png,a red picture\n",
    "a row of 1,000,000 fields": b"image,caption\nred.png,a red picture\nred.png" + b",x" * 10**6,
    "an open quotation mark": b'image,caption\nred.png,"a red picture\n' + b"x,y\n" * 10_000,
    "marks only": b'"' * 100_001,
    "commas only": b"," * 100_000,
    "escapes": b'image,caption\n"red.png\\","\\\\\\"\\"\n',
    "formulas": b"image,caption\nred.png,=HYPERLINK(1)\n",
    "binary": bytes(range(256)) * 400,
    "a pickle": b"cposix\nsystem\n(S'echo > $CLIPCAP_CANARY'\ntR.",
    "deep JSON": b"[" * 200_000,
    "two columns of one name": b"image,image,caption,caption\na,b,c,d\n",
    "a return only": b"\r",
    "a mark only": b"\xef\xbb\xbf",
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", ["captions.csv", "metadata.jsonl", "captions.json", "Flickr8k.token.txt", "t.parquet"])
def test_a_table_that_is_none_is_refused_or_read_as_it_is(table: str, name: str, stage: Stage) -> None:
    folder = stage.work / "mixed"
    folder.mkdir()
    shutil.copy(stage.pictures / "train" / "red.png", folder / "red.png")
    replace(folder / name, TABLES[table])
    stage.survives("dataset", "add", folder)
    stage.survives("dataset", "add", folder / name, "--name", "table")


@pytest.mark.parametrize("name", ["captions.csv", "metadata.jsonl", "captions.json", "t.parquet", "data.pkl", "x.tar", "x.pt"])
@pytest.mark.parametrize("kind", ["pipe", "device", "circle", "large", "folder"])
def test_a_source_that_is_no_file_is_refused(kind: str, name: str, stage: Stage) -> None:
    path = stage.work / name
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "circle":
            path.symlink_to(path)
        case "large":
            sparse(path, start=b"image,caption\n" if name.endswith("csv") else b"")
        case "folder":
            path.mkdir()
    stage.refuses("dataset", "add", path, codes=(3,))
    stage.refuses("model", "import", path, codes=(3,))
    stage.refuses("embed", "pictures", "--encoder", "efficientnet-lite0", "--import", path, codes=(3,))


def test_a_thousand_folders_in_folders_are_walked(stage: Stage) -> None:
    folder = stage.work / "deep"
    shutil.copytree(stage.pictures, folder)
    here = Path.cwd()
    try:
        os.chdir(folder / "train")
        for _ in range(1_200):  # one by one: no path that is longer than the system takes
            Path("d").mkdir()
            os.chdir("d")
        os.chdir(here)
        stage.survives("dataset", "add", folder)
    finally:
        os.chdir(here)
        subprocess.run(["rm", "-rf", str(folder)], check=True)  # what clears up after tests does not come down so far


def test_links_in_circles_end(stage: Stage) -> None:
    folder = stage.work / "circle"
    shutil.copytree(stage.pictures, folder)
    for depth in range(5):
        (folder / "train" / f"again{depth}").symlink_to(folder)
    said = stage.run("dataset", "add", folder)
    assert (said.code, "6 pictures" in said.out) == (0, True), said.err
    assert stage.run("caption", folder).code == 0


@pytest.mark.skipif(os.name == "nt", reason="names there hold no such characters")
def test_names_that_are_no_names_are_told_and_harmless(stage: Stage) -> None:
    folder = stage.work / "odd"
    folder.mkdir()
    names = [b"x" * 251, b"caf\xe9", b"a\nb", b"\x1b[2J", b"-rf", b"CON", b"..x", b"a\xe2\x80\xaeb", b"$(touch canary)", b"`id`", b"%s%n", b"{0.__class__}"]
    for name in names:
        shutil.copy(stage.pictures / "train" / "red.png", os.fsencode(folder) + b"/" + name + b".png")
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name + b".txt")).write_text("a red picture")
    said = stage.run("dataset", "add", folder)
    assert said.code == 0, said.err
    shown = stage.run("dataset", "show", "odd")
    assert not {"\x1b", "\u202e"} & set(said.out + said.err + shown.out + shown.err)
