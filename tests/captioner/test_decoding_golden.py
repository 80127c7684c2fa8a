"""Decoding against what the published code gave: the same tokens in the same order, scores within 1e-4, whole batches at once."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from clipcap_cli.captioner.decoding.base import Ask
from clipcap_cli.captioner.decoding.beam import beam_search
from clipcap_cli.captioner.language_models import LanguageModel

FOLDER = Path(__file__).parent.parent / "data" / "golden" / "decode"
GOLDEN = json.loads((FOLDER / "decode.json").read_text())
GROUPS: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
for _case in GOLDEN["cases"]:
    if not _case["fragile"]:
        GROUPS[_case["model"], _case.get("beam_size", 1), _case["temperature"], _case["entry_length"], _case["kind"]].append(_case)


def load_lm(number: str) -> LanguageModel:
    config = GPT2Config(**GOLDEN["lms"][number]["config"], bos_token_id=0, eos_token_id=0, attn_implementation="eager")
    model = GPT2LMHeadModel(config).eval()
    weights = {key.removeprefix("gpt."): value for key, value in load_file(FOLDER / f"lm_{number}.safetensors").items()}
    assert model.load_state_dict(weights, strict=False).missing_keys == ["lm_head.weight"]  # tied
    return LanguageModel(model, SimpleNamespace(eos_token_id=0), name=number, folder=FOLDER)


LMS = {number: load_lm(number) for number in GOLDEN["lms"]}


@pytest.mark.parametrize("name", GOLDEN["models"])
def test_first_logits_are_the_published_ones(name: str) -> None:
    io = load_file(FOLDER / f"{name}_io.safetensors")
    logits, _ = LMS[GOLDEN["models"][name]["lm"]].step(io["prefix"], None)
    assert (logits - io["first_logits"]).abs().max() < 1e-4


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_captions_are_the_published_ones(group: tuple[Any, ...]) -> None:
    name, beams, temperature, max_tokens, kind = group
    cases, model = GROUPS[group], GOLDEN["models"][name]
    prefix = load_file(FOLDER / f"{name}_io.safetensors")["prefix"][[case["embedding"] for case in cases]]
    temperature = temperature if temperature > 0 else 1.0  # as the published code takes it
    lm, stop = LMS[model["lm"]], model["stop_token"]
    found = beam_search(lm, prefix, Ask(max_tokens, stop, temperature=temperature), beams=beams)
    for case, hypotheses in zip(cases, found, strict=True):
        expected = case["sequences"] or case["expected_if_mended"]
        if kind == "greedy":
            assert [list(hypothesis.tokens) for hypothesis in hypotheses] == expected[:1], case["id"]  # the published one only repeats it
        else:
            assert [list(hypothesis.tokens) for hypothesis in hypotheses] == expected, case["id"]
            assert [hypothesis.score for hypothesis in hypotheses] == pytest.approx(case["scores"], abs=1e-4), case["id"]
            assert [hypothesis.stopped for hypothesis in hypotheses] == case["stopped"], case["id"]
