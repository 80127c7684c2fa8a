"""The nine CLIP models that OpenAI published: sizes, addresses, hashes, and where their files may lie. None of it needs the `clip` package, or torch.

Source: `_MODELS` in clip/clip.py of https://github.com/openai/CLIP (MIT); the SHA-256 is a part of each address.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from clipcap_cli.storage.home import Home

_FROM = "https://openaipublic.azureedge.net/clip/models"


@dataclass(frozen=True)
class OpenAIModel:
    """One published model: size of its vectors, side of its pictures in pixels, size of its file for people, address."""

    name: str
    embedding_size: int
    image_size: int
    download: str
    url: str

    @property
    def file(self) -> str:
        return self.url.rsplit("/", 1)[1]

    @property
    def sha256(self) -> str:
        return self.url.rsplit("/", 2)[1]


OPENAI_MODELS: dict[str, OpenAIModel] = {
    model.name: model
    for model in (
        OpenAIModel("RN50", 1024, 224, "256 MB", f"{_FROM}/afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt"),
        OpenAIModel("RN101", 512, 224, "292 MB", f"{_FROM}/8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599/RN101.pt"),
        OpenAIModel("RN50x4", 640, 288, "422 MB", f"{_FROM}/7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd/RN50x4.pt"),
        OpenAIModel("RN50x16", 768, 384, "661 MB", f"{_FROM}/52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa/RN50x16.pt"),
        OpenAIModel("RN50x64", 1024, 448, "1.4 GB", f"{_FROM}/be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c/RN50x64.pt"),
        OpenAIModel("ViT-B/32", 512, 224, "354 MB", f"{_FROM}/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt"),
        OpenAIModel("ViT-B/16", 512, 224, "351 MB", f"{_FROM}/5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt"),
        OpenAIModel("ViT-L/14", 768, 224, "933 MB", f"{_FROM}/b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt"),
        OpenAIModel("ViT-L/14@336px", 768, 336, "934 MB", f"{_FROM}/3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02/ViT-L-14-336px.pt"),
    )
}


def find_weights(model: OpenAIModel, home: Home) -> Path | None:
    """The file of a published model, if there is one in a usual place; its content is not looked at."""
    package_cache = Path("~/.cache/clip").expanduser() / model.file
    return next((path for path in (*brought_files(model), own_file(model, home), package_cache) if path.is_file()), None)


def brought_files(model: OpenAIModel) -> list[Path]:
    """Where the file lies if someone brought it: in the folder $CLIPCAP_WEIGHTS."""
    folder = os.environ.get("CLIPCAP_WEIGHTS")
    return [Path(folder).expanduser() / model.file, Path(folder).expanduser() / "openai" / model.file] if folder else []


def own_file(model: OpenAIModel, home: Home) -> Path:
    """Where the file lies in the store, once it is downloaded."""
    return home.weights / "openai" / model.file
