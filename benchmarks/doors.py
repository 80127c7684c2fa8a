"""The doors by which files from elsewhere come in: where such a file lies, good ones to begin with, and the function that reads it."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import tarfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from spoiling import spoilt_bytes, spoilt_json, spoilt_lines, spoilt_yaml

from clipcap_cli.captioner.bundle import load_bundle
from clipcap_cli.captioner.bundle_import import import_bundle
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.captioner.original import read_checkpoint
from clipcap_cli.cli.main import main
from clipcap_cli.datasets.adding import add_dataset
from clipcap_cli.datasets.dataset import open_dataset, remove_dataset
from clipcap_cli.datasets.exporting import export_dataset
from clipcap_cli.datasets.original_pickles import read_original
from clipcap_cli.datasets.pictures import open_picture, picture_header, to_rgb
from clipcap_cli.embeddings.checking import check_store, facts_of
from clipcap_cli.embeddings.store import open_store
from clipcap_cli.encoders import clip_package
from clipcap_cli.encoders.openai import read_state
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.evaluation.predictions import read_predictions
from clipcap_cli.recipe.reading import load_recipe
from clipcap_cli.storage.hashing import sha256_of_bytes
from clipcap_cli.storage.home import Home
from clipcap_cli.training.lock import read_lock
from clipcap_cli.training.runs import open_run

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden"
_TINY = ("train.epochs=1", "train.batch_size=4", "decode.beams=1", "decode.max_tokens=2", "mapper.prefix_length=1", "language_model.tune=frozen")
_COLOURS = ("red", "green", "blue", "yellow", "white", "black")
Spoil = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Door:
    """A door: `path` is where a file is put, `read` the function that opens it there, `good` files that are what they should be."""

    name: str
    path: Path
    good: Sequence[bytes]
    read: Callable[[], object]
    spoil: Spoil = spoilt_bytes
    is_slow: bool = False
    prepare: Callable[[bytes], None] | None = None

    def put(self, data: bytes) -> None:
        """Put a file where it is looked for."""
        self.path.unlink(missing_ok=True)
        self.path.write_bytes(data)
        if self.prepare:
            self.prepare(data)


def make_doors(folder: Path) -> Iterator[Door]:
    """Every door, with what is needed to go through it made in `folder` before."""
    home = Home(folder / "home")
    pictures = _draw(folder / "pictures")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main(["dataset", "add", str(pictures), "--quiet"]) == 0
        assert main(["train", "quickstart", "--dataset", "pictures", "--quiet", *_TINY]) == 0
        _make_language_model(folder / "lm")
        _make_encoder(folder / "hf")
    yield from _of_weights(folder)
    yield from _of_captioners(folder, home)
    yield from _of_models(folder, home)
    yield from _of_sources(folder, home)
    yield from _of_layouts(folder, home)
    yield from _of_the_store(home)


def _of_weights(folder: Path) -> Iterator[Door]:
    pickles = [path.read_bytes() for path in sorted((GOLDEN / "pickles").glob("*.pkl")) if path.stat().st_size]
    path = folder / "data.pkl"
    yield Door("data pickle", path, pickles, lambda: _original(path))
    checkpoint = folder / "checkpoint.pt"
    good = [path.read_bytes() for path in sorted((GOLDEN / "checkpoints").glob("*map*.pt"))]
    yield Door("checkpoint", checkpoint, good, lambda: read_checkpoint(checkpoint, lm_width=32))
    state, archive = _clip(folder)
    weights = folder / "openai.pt"
    yield Door("openai weights, state dict", weights, [state], lambda: read_state(weights))
    yield Door("openai weights, TorchScript", weights, [archive], lambda: read_state(weights))
    tensors = folder / "openai.safetensors"
    yield Door("openai weights, safetensors", tensors, [(folder / "lm" / "model.safetensors").read_bytes()], lambda: read_state(tensors))


def _of_captioners(folder: Path, home: Home) -> Iterator[Door]:
    bundle = shutil.copytree(home.runs / "quickstart" / "best", folder / "bundle")
    listing = bundle / "captioner.json"
    facts = json.loads(listing.read_bytes())

    def list_it(data: bytes) -> None:
        """Whoever spoils a file of a bundle can also write its hash."""
        facts["files"]["mapper.safetensors"] = sha256_of_bytes(data)
        listing.write_text(json.dumps(facts))

    good, mapper = listing.read_bytes(), (bundle / "mapper.safetensors").read_bytes()
    yield Door("captioner.json", listing, [good], lambda: load_bundle(bundle, home=home), spoilt_json)
    listing.write_bytes(good)
    yield Door("mapper.safetensors", bundle / "mapper.safetensors", [mapper], lambda: load_bundle(bundle, home=home), is_slow=True, prepare=list_it)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path in sorted((home.runs / "quickstart" / "best").rglob("*")):
            archive.add(path, path.relative_to(home.runs / "quickstart" / "best"), recursive=False)
    tar = folder / "bundle.tar"
    yield Door("bundle as a tar", tar, [made.getvalue()], lambda: import_bundle(tar, home, name="imported", replace=True))


def _of_models(folder: Path, home: Home) -> Iterator[Door]:
    lm, hf = folder / "lm", folder / "hf"
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "model.safetensors"):
        yield _kept(f"language model, {name}", lm / name, lambda: load_language_model(str(lm)), spoilt_json if name.endswith("json") else spoilt_bytes)
    for name in ("config.json", "preprocessor_config.json"):
        yield _kept(f"hf encoder, {name}", hf / name, lambda: _encode(hf, home), spoilt_json)


def _kept(name: str, path: Path, read: Callable[[], object], spoil: Spoil = spoilt_bytes, *, is_slow: bool = True) -> Door:
    """A door of one file among others of a folder, which are good: whenever the next one is tried, this file is good again."""
    good = path.read_bytes()

    def read_and_mend() -> None:
        try:
            read()
        finally:
            path.write_bytes(good)

    return Door(name, path, [good], read_and_mend, spoil, is_slow=is_slow)


def _of_sources(folder: Path, home: Home) -> Iterator[Door]:
    recipe = folder / "mine.yaml"
    shipped = [path.read_bytes() for path in sorted((GOLDEN.parents[2] / "recipes").glob("*.yaml"))]
    yield Door("recipe", recipe, shipped, lambda: load_recipe(recipe), spoilt_yaml)
    rows = [(f"{colour}.png", f'a {colour} picture, "quoted" and süß') for colour in _COLOURS]
    source = folder / "mixed"
    shutil.copytree(folder / "pictures", source, ignore=shutil.ignore_patterns("*.txt"))
    tables = {
        "captions.csv": ("image,caption\n" + "".join(f'{name},"{text.replace(chr(34), chr(34) * 2)}"\n' for name, text in rows)).encode(),
        "captions.tsv": ("image\tcaption\n" + "".join(f"{name}\ta picture\n" for name, _ in rows)).encode("utf-16"),
        "metadata.jsonl": "".join(json.dumps({"file_name": name, "text": text}) + "\n" for name, text in rows).encode(),
        "Flickr8k.token.txt": "".join(f"{name}#0\t{text}\n" for name, text in rows).encode(),
    }
    for name, data in tables.items():
        yield Door(
            f"table, {name}", source / name, [data], lambda name=name: _add(source, source / name, home), spoilt_lines if "json" in name else spoilt_bytes
        )
    entries = [{"image_id": name, "caption": text} for name, text in rows]
    documents = {
        "json": [
            json.dumps(entries).encode(),
            json.dumps({"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": "x"}]}).encode(),
        ],
        "jsonl": ["".join(json.dumps(entry) + "\n" for entry in entries).encode()],
        "csv": [tables["captions.csv"]],
    }
    for kind, good in documents.items():
        path = folder / f"predictions.{kind}"
        spoil = {"json": spoilt_json, "jsonl": spoilt_lines, "csv": spoilt_bytes}[kind]
        yield Door(f"captions to evaluate, {kind}", path, good, lambda path=path: read_predictions(path), spoil)
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"):
        path = folder / "picture"
        yield Door(f"picture, {kind}", path, [_picture(kind)], lambda path=path: _look(path.read_bytes()))


def _of_layouts(folder: Path, home: Home) -> Iterator[Door]:
    """One file of each layout that datasets come in; the others of its folder stay good."""
    dataset = open_dataset("pictures", home=home)
    for layout, name in (
        ("coco", "annotations/captions_train.json"),
        ("karpathy", "dataset_pictures.json"),
        ("metadata-parquet", "metadata.parquet"),
        ("parquet", "train-00000-of-00001.parquet"),
        ("webdataset", "train-00000.tar"),
    ):
        source = folder / f"as-{layout}"
        export_dataset(dataset, layout, source)
        spoil = spoilt_json if name.endswith("json") else spoilt_bytes
        yield _kept(f"dataset, {layout}", source / name, lambda source=source: _add_layout(source, source, home), spoil, is_slow=False)
    for ending in (".zip", ".tar.gz", ".tar"):
        archive = folder / f"as-archive{ending}"
        export_dataset(dataset, "table", archive)
        yield _kept(f"dataset, {ending[1:]} of a table", archive, lambda archive=archive: _add_layout(archive, archive, home), is_slow=False)


def _of_the_store(home: Home) -> Iterator[Door]:
    dataset, run = home.datasets / "pictures", home.runs / "quickstart"
    for name in ("dataset.json", "v0001/version.json", "v0001/images.parquet", "v0001/captions.parquet"):
        spoil = spoilt_json if name.endswith("json") else spoilt_bytes
        yield _whole(f"store, {name.split('/')[-1]}", dataset / name, lambda: _dataset(home), spoil)
    [embeddings] = home.embeddings.iterdir()
    encoder = load_encoder("efficientnet-lite0", home=home, device="cpu", precision="fp32")
    ids = [image.image_id for image in open_dataset("pictures", home=home).images()]

    def store() -> None:
        open_store(home, encoder).gather(ids)
        check_store(embeddings, lambda number: None)

    def index() -> None:
        for path in embeddings.glob("index.sqlite-*"):
            path.unlink()
        store()

    yield _whole("store, encoder.json", embeddings / "encoder.json", lambda: (facts_of(embeddings), store()), spoilt_json)
    yield _whole("store, index.sqlite", embeddings / "index.sqlite", index, spoilt_bytes)
    yield _whole("store, hashes.json", home.weights / "hashes.json", lambda: load_encoder("efficientnet-lite0", home=home), spoilt_json)
    yield _whole("run, run.json", run / "run.json", lambda: open_run("quickstart", home=home).info, spoilt_json)
    yield _whole("run, lock.json", run / "lock.json", lambda: read_lock(run), spoilt_json)
    yield _whole("run, metrics.jsonl", run / "metrics.jsonl", lambda: list(open_run("quickstart", home=home).metrics()), spoilt_lines)


def _whole(name: str, path: Path, read: Callable[[], object], spoil: Spoil) -> Door:
    door = _kept(name, path, read, spoil)
    return Door(door.name, door.path, door.good, door.read, spoil)


def _original(path: Path) -> None:
    os.utime(path, ns=(0, hash(path.read_bytes()) % 2**40))  # what was read last is remembered by its size and time
    read_original(path)


def _add(source: Path, table: Path, home: Home) -> None:
    try:
        dataset = add_dataset(source, name="mixed", home=home)
        assert all(image.path and image.path.is_relative_to(source) for image in dataset.images()), "a picture from elsewhere"
    finally:
        table.unlink()
        if (home.datasets / "mixed").exists():
            remove_dataset(home, "mixed")


def _add_layout(source: Path, root: Path, home: Home) -> None:
    try:
        dataset = add_dataset(source, name="mixed", home=home)
        homes = (root, home.images)
        assert all(image.path and any(image.path.is_relative_to(of) for of in homes) for image in dataset.images()), "a picture from elsewhere"
    finally:
        if (home.datasets / "mixed").exists():
            remove_dataset(home, "mixed")


def _dataset(home: Home) -> None:
    dataset = open_dataset("pictures", home=home)
    dataset.images()
    dataset.pairs("train")
    dataset.problems()


def _encode(folder: Path, home: Home) -> None:
    encoder = load_encoder(f"hf:{folder}", home=home, device="cpu", precision="fp32")
    encoder.encode(torch.zeros(1, encoder.image_size, encoder.image_size, 3, dtype=torch.uint8).numpy())


def _look(data: bytes) -> None:
    picture_header(data, "picture")
    to_rgb(open_picture(data, "picture"))


def _picture(kind: str) -> bytes:
    stream = io.BytesIO()
    frames = [Image.effect_mandelbrot((48, 32), (-2, -1, 1, 1), quality).convert("RGB") for quality in (20, 40)]
    exif = Image.Exif()
    exif[0x0112] = 6
    more = {"save_all": True, "append_images": frames[1:]} if kind in ("GIF", "TIFF", "WEBP") else {}
    frames[0].save(stream, kind, **more, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}))
    return stream.getvalue()


def _draw(folder: Path) -> Path:
    for number, colour in enumerate(_COLOURS):
        place = folder / ("val" if number % 3 == 2 else "train")
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 16), colour).save(place / f"{colour}.png")
        (place / f"{colour}.txt").write_text(f"a {colour} picture\n")
    return folder


def _clip(folder: Path) -> tuple[bytes, bytes]:
    """A small CLIP in OpenAI's format: its state dict, and the archive that tracing makes of it."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = clip_package.model().CLIP(8, 32, 1, 64, 16, 8, 50, 64, 1, 1).eval().requires_grad_(False)
        torch.save(model.state_dict(), folder / "state.pt")
        torch.jit.trace(model, (torch.zeros(1, 3, 32, 32), torch.zeros(1, 8, dtype=torch.long))).save(str(folder / "archive.pt"))
    return (folder / "state.pt").read_bytes(), (folder / "archive.pt").read_bytes()


def _make_language_model(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = ["[END]", "[UNK]", "a", "dog", ".", "picture", "of"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(words), n_positions=48, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="[END]", unk_token="[UNK]").save_pretrained(folder)
    model.save_pretrained(folder)


def _make_encoder(folder: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=8, **sizes)).save_pretrained(folder)
    preprocessing = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True, "resample": 3}
    (folder / "preprocessor_config.json").write_text(json.dumps({**preprocessing, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 255}))
