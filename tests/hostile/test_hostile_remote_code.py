"""No code that lies beside weights is run, and nothing in the package could ask for it."""

from __future__ import annotations

import ast
import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from golden_lm import make_lm_folder
from hostile_tools import CANARY, Stage

import clipcap_cli
from clipcap_cli.captioner.lm_loading import load_language_model
from clipcap_cli.encoders.base import TextEncoder
from clipcap_cli.encoders.registry import load_encoder
from clipcap_cli.errors import InputError
from clipcap_cli.storage.home import Home

PACKAGE = Path(clipcap_cli.__file__).parent
# What of transformers, torch and Python would open a stranger's file by running what is in it.
NEVER = {
    ("pickle", "load"),
    ("pickle", "loads"),
    ("marshal", "loads"),
    ("shelve", "open"),
    ("joblib", "load"),
    ("np", "load"),
    ("numpy", "load"),
    ("pd", "read_pickle"),
    ("yaml", "load"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
    ("torch.hub", "load"),
    ("os", "system"),
    ("os", "popen"),
    ("runpy", "run_path"),
}


def calls() -> Iterator[tuple[str, ast.Call, str, dict[str, ast.expr]]]:
    """Every call in the package: its place, itself, what is called, and its named arguments."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node, ast.unparse(node.func), {word.arg or "**": word.value for word in node.keywords}


def test_remote_code_is_never_trusted() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            pairs: list[tuple[object, object]] = []
            if isinstance(node, ast.Dict):
                pairs += [(key.value, value) for key, value in zip(node.keys, node.values, strict=True) if isinstance(key, ast.Constant)]
            elif isinstance(node, ast.keyword):
                pairs.append((node.arg, node.value))
            for key, value in pairs:
                if key == "trust_remote_code":
                    assert isinstance(value, ast.Constant), f"{path}:{node.lineno}"
                    assert value.value is False, f"{path}:{node.lineno}"


def test_whatever_transformers_loads_is_local_and_without_code() -> None:
    found = 0
    for place, _, function, words in calls():
        if function.rsplit(".", 1)[-1] != "from_pretrained":
            continue
        found += 1
        if isinstance(words.get("**"), ast.Name):  # settings that are written down once in the file
            source = (PACKAGE / place.partition(":")[0]).read_text(encoding="utf-8")
            assert '{"local_files_only": True, "trust_remote_code": False}' in source, place
        else:
            values = {name: value.value for name, value in words.items() if isinstance(value, ast.Constant)}
            assert (values.get("local_files_only"), values.get("trust_remote_code")) == (True, False), place
        if "Model" in function or "output_loading_info" in words:  # weights, not configurations or tokenizers
            assert ast.unparse(words["use_safetensors"]) == "True", place
    assert found >= 5


def test_no_reader_that_runs_what_it_reads_is_called() -> None:
    seen = []
    for place, node, function, words in calls():
        owner, _, name = function.rpartition(".")
        assert (owner, name) not in NEVER, f"{place}: {function}"
        assert function not in ("eval", "exec", "compile", "__import__", "pickle.Unpickler"), f"{place}: {function}"
        if function == "torch.load":
            assert isinstance(words.get("weights_only"), ast.Constant), place
            assert ast.literal_eval(words["weights_only"]) is True, place
        if function.startswith("subprocess."):
            assert "shell" not in words, place
            assert not (node.args and isinstance(node.args[0], ast.Constant)), f"{place}: a line for a shell"
        if function == "torch.jit.load":  # OpenAI's own files, whose hash was compared
            seen.append(place.partition(":")[0])
    assert seen == ["encoders/openai.py"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model `lm` and an encoder `clip` as folders of transformers, both honest."""
    folder = tmp_path_factory.mktemp("models")
    make_lm_folder(folder / "lm")
    make_clip_folder(folder / "clip")
    return folder


def make_clip_folder(folder: Path) -> None:
    """A small CLIP as `save_pretrained` writes it."""
    import transformers as t
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    words = ["<pad>", "<unk>", "a", "cat", "</s>"]
    text = {**sizes, "vocab_size": len(words), "max_position_embeddings": 12, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = t.CLIPConfig(vision_config={**sizes, "image_size": 32, "patch_size": 8}, text_config=text, projection_dim=24)
        t.CLIPModel(config).eval().save_pretrained(folder)
        t.models.clip.image_processing_pil_clip.CLIPImageProcessorPil(size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
        tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        t.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>").save_pretrained(folder)


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


_AUTO = {"AutoConfig": "canary.Canary", "AutoModel": "canary.Canary", "AutoModelForCausalLM": "canary.Canary", "AutoImageProcessor": "canary.Canary"}
_TOKENIZER = {"AutoTokenizer": ["canary.Canary", "canary.Canary"]}
INVITATIONS: dict[str, Callable[[Path], None]] = {
    "its configuration names a module": lambda folder: _edit(folder / "config.json", auto_map=_AUTO),
    "its configuration names a module of another repository": lambda folder: _edit(
        folder / "config.json", auto_map={key: f"someone/else--{value}" for key, value in _AUTO.items()}
    ),
    "its configuration asks to be trusted": lambda folder: _edit(folder / "config.json", auto_map=_AUTO, trust_remote_code=True),
    "its type is that of the module": lambda folder: _edit(folder / "config.json", auto_map=_AUTO, model_type="canary", architectures=["Canary"]),
    "its tokenizer names a module": lambda folder: _edit(folder / "tokenizer_config.json", auto_map=_TOKENIZER),
    "its tokenizer is of that class": lambda folder: _edit(folder / "tokenizer_config.json", auto_map=_TOKENIZER, tokenizer_class="Canary"),
    "its tokenizer asks to be trusted": lambda folder: _edit(folder / "tokenizer_config.json", auto_map=_TOKENIZER, trust_remote_code=True),
    "it was quantised by a package of its own": lambda folder: _edit(folder / "config.json", quantization_config={"quant_method": "canary"}),
    "its attention is of a repository": lambda folder: _edit(
        folder / "config.json", _attn_implementation="someone/else", attn_implementation="someone/else:canary"
    ),
    "it brings adapters": lambda folder: (
        (folder / "adapter_config.json").write_text(
            json.dumps(
                {"peft_type": "LORA", "base_model_name_or_path": "someone/else", "auto_mapping": {"parent_library": "canary", "base_model_class": "Canary"}}
            )
        )
        and None
    ),
    "it brings decoding": lambda folder: (
        (folder / "generation_config.json").write_text(json.dumps({"custom_generate": "canary", "trust_remote_code": True})) and None
    ),
}


@pytest.fixture
def invited(models: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of the two, each with a module beside it that can be imported from here; the stage looks whether anybody did."""
    shutil.copytree(models, stage.work, dirs_exist_ok=True)
    for folder in ("lm", "clip"):
        for place in (folder, f"{folder}/custom_generate"):
            (stage.work / place).mkdir(exist_ok=True)
            for name in ("canary.py", "generate.py", "__init__.py"):
                (stage.work / place / name).write_text(CANARY + "class Canary: pass\n")
    monkeypatch.setenv("HF_MODULES_CACHE", str(stage.work / "modules"))
    return stage.work


@pytest.mark.parametrize("invitation", INVITATIONS)
def test_a_language_model_that_brings_code_is_refused_or_loaded_without_it(invitation: str, invited: Path) -> None:
    INVITATIONS[invitation](invited / "lm")
    with suppress(InputError):
        assert load_language_model(str(invited / "lm")).width == 32


@pytest.mark.parametrize("invitation", INVITATIONS)
def test_an_encoder_that_brings_code_is_refused_or_loaded_without_it(invitation: str, invited: Path, home: Home) -> None:
    INVITATIONS[invitation](invited / "clip")
    pixels = torch.zeros(1, 32, 32, 3, dtype=torch.uint8).numpy()
    with suppress(InputError):
        encoder = load_encoder(f"hf:{invited / 'clip'}", home=home, device="cpu", precision="fp32")
        assert encoder.encode(pixels).shape == (1, 24)
        assert isinstance(encoder, TextEncoder)
        assert encoder.encode_text(["a cat"]).shape == (1, 24)


def test_the_canary_sings_when_it_is_imported(invited: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIPCAP_CANARY", str(invited / "sung"))
    exec((invited / "lm" / "canary.py").read_text(), {})
    assert (invited / "sung").is_file()


def test_prompts_of_a_tokenizer_are_not_followed(invited: Path) -> None:
    (invited / "lm" / "chat_template.jinja").write_text("{% for x in ().__class__.__mro__[1].__subclasses__() %}{{ x }}{% endfor %}")
    assert load_language_model(str(invited / "lm")).tokenize(["a dog"]) == [[2, 3]]
