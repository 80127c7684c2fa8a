"""The model card of a bundle: what it is, what it was made from, how to use it."""

from __future__ import annotations

import json

from clipcap_cli.captioner.manifest import Manifest

_BUILTIN_CREDIT = "`builtin:nano` was trained on captions of the COCO dataset (© COCO Consortium, [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/), https://cocodataset.org)."


def model_card(manifest: Manifest) -> str:
    """Markdown; says nothing that the manifest does not know."""
    encoder, language_model = manifest.encoder, manifest.language_model
    how = "tuned together with the mapper" if language_model.tuned else "as it is published"
    how += ", with LoRA adapters from `adapter/` added" if language_model.adapter else ""
    where = "inside, in `lm/`" if language_model.inside else "not inside: found by its name"
    lines = [
        "# An image captioner",
        "",
        f"Made by clipcap {manifest.clipcap} on {manifest.created[:10]}. An encoder makes a vector of a picture, a mapper makes a prefix of the vector,",
        "a language model continues the prefix with a caption ([ClipCap](https://arxiv.org/abs/2111.09734)).",
        "",
        f"- Encoder: `{encoder.spec}` ({encoder.embedding_size} numbers a picture, fingerprint `{encoder.fingerprint:.12}`)",
        f"- Mapper: {manifest.mapper.kind}, {manifest.mapper.prefix_length} vectors of width {language_model.width}",
        f"- Language model: `{language_model.name}`, {how}; {where}",
        "",
        "```sh",
        "clipcap caption --model FOLDER PICTURE.jpg  # FOLDER is this one",
        "```",
        "",
        "It describes what its training pictures showed, in the manner of their captions. It knows nothing else, and can be wrong with confidence.",
        "Whoever shares it answers for the licences of the data, the encoder and the language model.",
    ]
    if language_model.name == "builtin:nano":
        lines += ["", _BUILTIN_CREDIT]
    if manifest.info:
        lines += ["", "## How it was made", "", "```json", json.dumps(manifest.info, indent=2, ensure_ascii=False), "```"]
    return "\n".join(lines) + "\n"
