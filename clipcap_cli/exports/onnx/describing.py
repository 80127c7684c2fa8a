"""What an onnx folder says about itself: captioner.json for programs, README.md for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clipcap_cli._version import __version__
from clipcap_cli.captioner.captioner import Captioner
from clipcap_cli.captioner.decoding import stop_token
from clipcap_cli.captioner.decoding.base import check_places, room_behind
from clipcap_cli.encoders.network import NetworkEncoder
from clipcap_cli.events import Listener, Note

FORMAT = 1  # caption.py reads this one
_LICENCES = {
    "efficientnet-lite0": "EfficientNet-Lite0: Apache License 2.0 (TensorFlow authors).",
    "openai": "CLIP: MIT licence (OpenAI), where the weights are the published ones.",
    "builtin:nano": "`builtin:nano` was trained on captions of the COCO dataset (© COCO Consortium, "
    "[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/), https://cocodataset.org).",
    "gpt2": "GPT-2: MIT licence as modified by OpenAI.",
}


def facts_of(captioner: Captioner, encoder: NetworkEncoder, *, name: str, int8: bool) -> dict[str, Any]:
    """captioner.json, but for the hashes of the files.

    Raises:
        InputError: the stop text is not one token, or the longest caption does not fit into the language model's places.
    """
    language_model, decode, how = captioner.language_model, captioner.decode, encoder.preprocessing
    prefix_length = captioner.mapper.prefix_length
    check_places(language_model, prefix_length, decode.max_tokens)
    stop = stop_token(language_model, decode.stop)
    ends = stop == language_model.end_token
    return {
        "kind": "onnx",
        "format": FORMAT,
        "clipcap": __version__,
        "name": name,
        "int8": int8,
        "encoder": {
            "spec": _without_folders(captioner.encoder_spec),
            "fingerprint": captioner.encoder_fingerprint,
            "embedding_size": encoder.embedding_size,
            "size": how.size,
            "resize_to": how.resize_to,
            "squeeze": how.squeeze,
            "resample": how.resample,
            "middle": how.middle,
        },
        "mapper": {"prefix_length": prefix_length, "lm_width": language_model.width},
        "language_model": {
            "name": _without_folders(language_model.name),
            "vocabulary": language_model.vocabulary,
            "end_token": language_model.end_token,
            "most_tokens": room_behind(language_model, prefix_length),
        },
        "decode": {
            "beams": 1 if decode.strategy == "greedy" else decode.beams,
            "max_tokens": decode.max_tokens,
            "min_tokens": decode.min_tokens + ends,  # the end token is no part of the caption, a stop text is
            "stop": stop,
            "stop_is_text": not ends,
            "length_penalty": decode.length_penalty,
            "temperature": decode.temperature,
            "repetition_penalty": decode.repetition_penalty,
            "no_repeat_ngram": decode.no_repeat_ngram,
        },
        "info": captioner.info,
    }


def tell_what_it_lacks(captioner: Captioner, events: Listener) -> None:
    """Say which of the captioner's settings caption.py does not know."""
    decode = captioner.decode
    if decode.strategy not in ("beam", "greedy"):
        events(Note(f"caption.py writes by beam search, {decode.beams} wide, and not by {decode.strategy}, as this captioner does by default", "warning"))
    for setting in ("banned", "required"):
        if words := getattr(decode, setting):
            events(Note(f"caption.py knows no {setting} words: {', '.join(words)}", "warning"))


def _without_folders(name: str) -> str:
    """Where files lie on this machine is nobody's business."""
    family, colon, path = name.rpartition(":")
    return f"{family}{colon}{Path(path).name}" if Path(path).is_absolute() else name


def readme_of(facts: dict[str, Any]) -> str:
    """README.md."""
    encoder, language_model = facts["encoder"], facts["language_model"]
    family = encoder["spec"].partition(":")[0]
    licences = [_LICENCES[key] for key in (family, language_model["name"]) if key in _LICENCES]
    data = facts["info"].get("dataset")
    learned = data.get("name") if isinstance(data, dict) else data
    bits = "matrices of mapper and language model in eight bits, all else in fp32" if facts["int8"] else "fp32"
    return f"""# {facts["name"]}: an image captioner in onnx

Written by clipcap {facts["clipcap"]}. It needs no torch: onnxruntime, numpy, pillow and tokenizers are enough.

```sh
pip install -r requirements.txt
python caption.py PICTURE.jpg FOLDER                 # PICTURE.jpg: its caption
python caption.py FOLDER --greedy --json             # faster; one JSON object a line
python caption.py --help
```

```python
from caption import Captioner                        # with this folder on Python's path

captioner = Captioner("THIS_FOLDER")
for found in captioner.caption(["a.jpg", "b.jpg"], beams=5):
    print(found.text, found.score)
```

| file | what |
|---|---|
| `encoder.onnx` | pixels, uint8 [n, {encoder["size"]}, {encoder["size"]}, 3] -> embedding [n, {encoder["embedding_size"]}]; scaling of pixels is inside |
| `mapper.onnx` | embedding -> prefix [n, {facts["mapper"]["prefix_length"]}, {facts["mapper"]["lm_width"]}] |
| `lm.onnx` | prefix or tokens, and keys and values of what was read -> logits [n, {language_model["vocabulary"]}], and keys and values for the next step |
| `tokenizer.json` | for the library tokenizers |
| `captioner.json` | sizes, how pictures are prepared, how captions are written, SHA-256 of each file |
| `caption.py` | all that is done around the graphs; 300 lines to read or to translate |

clipcap's `docs/onnx.md` has every input and output, for whoever writes a program of their own.

## What it is made of

- Encoder: `{encoder["spec"]}`
- Language model: `{language_model["name"]}`, with what training changed
- Learned from: {learned or "not recorded"}
- Numbers: {bits}

It describes what its training pictures showed, in the manner of their captions, and can be wrong with confidence, about people above all.

## Licences

The weights of encoder and language model are inside, and their licences go with them. Whoever shares this folder answers for them, and for those of the data.
`caption.py` is under clipcap's own licence, MIT.

{"".join(f"- {line}" + chr(10) for line in licences)}"""
