"""`clipcap export --format onnx`: a folder that captions pictures where there is no torch.

encoder.onnx, mapper.onnx, lm.onnx    the three networks (see `graphs`)
tokenizer.json                        for the library tokenizers
captioner.json                        what a program has to know, and the SHA-256 of each file but this one and README.md
caption.py, requirements.txt          the program
README.md                             how to use it
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from pathlib import Path

from clipcap_cli.captioner.captioner import Captioner, InsideEncoder, check_encoder
from clipcap_cli.captioner.language_models import LanguageModel
from clipcap_cli.encoders.network import NetworkEncoder
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import InputError, MissingError
from clipcap_cli.events import Advanced, Finished, Listener, Started
from clipcap_cli.exports.onnx.converting import is_large, write_graph
from clipcap_cli.exports.onnx.describing import facts_of, readme_of, tell_what_it_lacks
from clipcap_cli.exports.onnx.eight_bits import to_eight_bits
from clipcap_cli.exports.onnx.graphs import Graph, encoder_graph, language_model_graph, mapper_graph
from clipcap_cli.exports.onnx.trying import try_graph, try_language_model
from clipcap_cli.storage.atomic import new_folder
from clipcap_cli.storage.hashing import sha256_of_file

FACTS, CARD = "captioner.json", "README.md"
REQUIREMENTS = "numpy>=1.26\nonnxruntime>=1.20\npillow>=10.3\ntokenizers>=0.20\n"
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export_onnx(captioner: Captioner, folder: Path, *, int8: bool = False, name: str, events: Listener) -> Path:
    """Write a captioner as onnx into the new folder `folder`, whole or not at all.

    Args:
        captioner: on the CPU, as `load_bundle` gives it.
        int8: matrices of mapper and language model in eight bits: smaller and faster, and now and then another word.
        name: what it is called, for people.

    Raises:
        InputError: its encoder, language model or tokenizer cannot be written so.
        MissingError: a package, or the encoder's weights, are missing.
        StoreError: the folder is there already, or cannot be written.
    """
    from clipcap_cli.exports.onnx import caption

    check_packages()
    encoder = _encoder(captioner, events)
    facts = facts_of(captioner, encoder, name=name, int8=int8)
    tell_what_it_lacks(captioner, events)
    with new_folder(folder) as part:
        _write_tokenizer(captioner.language_model, part / "tokenizer.json")
        _write_graphs(captioner, encoder, part, int8=int8, events=events)
        shutil.copyfile(caption.__file__, part / "caption.py")
        (part / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
        facts["files"] = {path.name: sha256_of_file(path) for path in sorted(part.iterdir())}
        (part / FACTS).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (part / CARD).write_text(readme_of(facts), encoding="utf-8")
    return folder


def check_packages() -> None:
    """Whether what writes and runs graphs is installed.

    Raises:
        MissingError: a package is missing.
    """
    if missing := [package for package in _PACKAGES if importlib.util.find_spec(package) is None]:
        raise MissingError(f"the format onnx needs {' and '.join(missing)}", hint='pip install "clipcap-cli[onnx]"')


def _encoder(captioner: Captioner, events: Listener) -> NetworkEncoder:
    """The captioner's encoder in fp32, whatever this machine is fastest with."""
    source = captioner.inside or InsideEncoder(captioner.encoder_spec, captioner.encoder_fingerprint)
    encoder = load_encoder(source.spec, home=captioner.home, device="cpu", precision="fp32", events=events)
    check_encoder(encoder, source.fingerprint)
    if not isinstance(encoder, NetworkEncoder):
        raise InputError(
            f"the encoder {source.spec} is none of clipcap's own, and what it computes cannot be written as a graph", hint="Export it with --format bundle."
        )
    return encoder


def _write_tokenizer(language_model: LanguageModel, path: Path) -> None:
    fast = getattr(language_model.tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise InputError(
            f"the tokenizer of the language model {language_model.name!r} cannot be written as tokenizer.json", hint="Export it with --format bundle."
        )
    fast.save(str(path))


def _write_graphs(captioner: Captioner, encoder: NetworkEncoder, folder: Path, *, int8: bool, events: Listener) -> None:
    language_model = captioner.language_model
    events(Started("export", 3, "graphs"))
    try:
        graph = encoder_graph(encoder)
        write_graph(graph, folder / "encoder.onnx")
        try_graph(graph, folder / "encoder.onnx")
        events(Advanced("export"))
        with tempfile.TemporaryDirectory(prefix="clipcap-") as scratch:
            room = Path(scratch) if int8 else folder
            graph = mapper_graph(captioner)
            write_graph(graph, room / "mapper.onnx")
            try_graph(graph, room / "mapper.onnx")
            _put(graph, room / "mapper.onnx", folder / "mapper.onnx")
            events(Advanced("export"))
            graph = language_model_graph(language_model)
            write_graph(graph, room / "lm.onnx")
            try_language_model(graph, room / "lm.onnx", language_model, captioner.mapper.prefix_length)
            _put(graph, room / "lm.onnx", folder / "lm.onnx")
            events(Advanced("export"))
    finally:
        events(Finished("export"))


def _put(graph: Graph, path: Path, place: Path) -> None:
    """The graph in eight bits, where it does not lie in its place already."""
    if path != place:
        to_eight_bits(path, place, large=is_large(graph))
