"""Training with the original objective against what the published code gave: losses, rates, gradients and weights."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from spelled import Reader, SpelledLM, samples_of
from transformers import GPT2Config, GPT2LMHeadModel

from clipcap_cli.captioner.mappers import Preparation, build_mapper
from clipcap_cli.recipe.schema import TrainPart
from clipcap_cli.training.batches import make_batch, shuffled_order
from clipcap_cli.training.objective import caption_loss
from clipcap_cli.training.optimizer import make_optimizer, make_schedule
from clipcap_cli.training.samples import published_limit

FOLDER = Path(__file__).parent.parent / "data" / "golden" / "train"
GOLDEN = json.loads((FOLDER / "train.json").read_text())
BATCHES = load_file(FOLDER / "batches.safetensors")
ORIGINAL = {"objective": "original"}


def golden_lm():
    config = GPT2Config(**GOLDEN["lm"]["config"], bos_token_id=0, eos_token_id=0, attn_implementation="eager", embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)
    model = GPT2LMHeadModel(config)
    weights = {key.removeprefix("gpt."): value for key, value in load_file(FOLDER / "lm.safetensors").items()}
    assert model.load_state_dict(weights, strict=False).missing_keys == ["lm_head.weight"]  # tied
    return SpelledLM(model, SimpleNamespace(eos_token_id=0), name="golden", folder=FOLDER)


def golden_mapper(form):
    facts = GOLDEN["mappers"][form]
    shape = {"clip_length": facts["clip_length"], "layers": facts["num_layers"]} if form == "transformer" else {}
    mapper = build_mapper(form, embedding_size=facts["prefix_size"], lm_width=32, prefix_length=facts["prefix_length"], **shape)
    mapper.load_state_dict({key.removeprefix("clip_project."): value for key, value in load_file(FOLDER.parent / facts["file"]).items()})
    return mapper


def golden_samples(language_model, prefix_length, embeddings):
    dataset = GOLDEN["dataset"]
    return samples_of(
        dataset["captions_ids"], pictures=dataset["caption2embedding"], embeddings=embeddings, language_model=language_model, prefix_length=prefix_length
    )


def golden_embeddings():
    """The rows of the data set, found in the batches that the published code made of it."""
    rows = np.zeros((max(GOLDEN["dataset"]["caption2embedding"]) + 1, 40), np.float32)
    for number in range(GOLDEN["dataset"]["n_batches"]):
        rows[GOLDEN["dataset"]["caption2embedding"][8 * number : 8 * number + 8]] = BATCHES[f"{number:02}.prefix_plain"].numpy()
    return rows


def norm(parameters, of):
    return torch.cat([of(parameter).flatten() for parameter in parameters]).norm().item()


@pytest.mark.parametrize("run", GOLDEN["runs"], ids=lambda run: run["id"])
def test_a_run_goes_as_the_published_one(run):
    language_model, mapper = golden_lm(), golden_mapper(run["mapper"])
    language_model.requires_grad_(not run["only_prefix"])
    start = {f"clip_project.{key}": value.clone() for key, value in mapper.state_dict().items()}
    start |= {f"gpt.{key}": value.clone() for key, value in language_model.model.state_dict().items()}
    settings = TrainPart.model_validate({**ORIGINAL, "lr": run["lr"], "warmup_steps": run["warmup_steps"], "epochs": run["epochs"]})
    optimizer = make_optimizer(mapper, language_model, settings)
    schedule = make_schedule(optimizer, run["total_steps"], settings)
    samples = golden_samples(language_model, mapper.prefix_length, golden_embeddings())
    preparation = Preparation(run["normalize_prefix"])
    assert sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"]) == run["parameters_given_to_optimizer"]["numbers"]

    tolerance = 1e-2 if run.get("fragile") else 1e-4
    for step in range(run["total_steps"]):
        first = 8 * (step % run["steps_per_epoch"])  # the golden runs do not shuffle
        loss = caption_loss(make_batch(samples, np.arange(first, first + 8), mapper.prefix_length), preparation, mapper, language_model)
        loss.backward()
        assert loss.item() == pytest.approx(run["losses"][step], abs=tolerance)
        assert schedule.get_last_lr()[0] == pytest.approx(run["lrs"][step], rel=1e-6)
        assert norm(mapper.parameters(), lambda parameter: parameter.grad) == pytest.approx(run["grad_norms"][step]["clip_project"], rel=1e-3)
        if not run["only_prefix"]:
            assert norm(language_model.parameters(), lambda parameter: parameter.grad) == pytest.approx(run["grad_norms"][step]["gpt"], rel=1e-3)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()

    end = {f"clip_project.{key}": value for key, value in mapper.state_dict().items()} | {
        f"gpt.{key}": value for key, value in language_model.model.state_dict().items()
    }
    for name, expected in run["final_norms"].items():
        assert end[name].norm().item() == pytest.approx(expected, rel=1e-3, abs=1e-4), name
    for name, expected in run["moved_norms"].items():
        assert (end[name] - start[name]).norm().item() == pytest.approx(expected, rel=1e-2, abs=1e-4), name
    final = FOLDER / f"final_{run['id']}.safetensors"
    for name, expected in load_file(final).items() if final.exists() else ():
        torch.testing.assert_close(end[name], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("case", GOLDEN["oneshot"], ids=lambda case: case["id"])
def test_a_batch_has_the_published_loss(case):
    tokens, prefix, mask = (BATCHES[f"{case['batch']}.{part}"] for part in ("tokens", "prefix", "caption_mask"))
    language_model, mapper = golden_lm(), golden_mapper(case["mapper"])
    captions = [row[: int(kept.sum())].tolist() for row, kept in zip(tokens, mask, strict=True)]
    samples = samples_of(captions, embeddings=prefix.numpy(), language_model=language_model, prefix_length=mapper.prefix_length)
    batch = make_batch(samples, np.arange(len(captions)), mapper.prefix_length)
    assert batch.count == case["counted_labels"]
    loss = caption_loss(batch, Preparation(False), mapper, language_model)
    if case["loss"] is None:
        assert loss.isnan()
    else:
        assert loss.item() == pytest.approx(case["loss"], abs=1e-4)


def test_the_embeddings_and_tokens_of_a_batch_are_the_published_ones():
    samples = golden_samples(Reader(), 6, golden_embeddings())
    for number in range(GOLDEN["dataset"]["n_batches"]):
        members = np.arange(8 * number, 8 * number + 8)
        batch = make_batch(samples, members, 6)
        expected = BATCHES[f"{number:02}.tokens"]
        assert [len(ids) for ids in samples.tokens(members)] == (expected != 0).sum(1).tolist() or 0 in expected
        width = batch.tokens.shape[1]
        assert torch.equal(batch.tokens, expected[:, :width])
        torch.testing.assert_close(batch.embeddings, BATCHES[f"{number:02}.prefix_plain"])
        torch.testing.assert_close(Preparation(True)(batch.embeddings), BATCHES[f"{number:02}.prefix_normalized"])


@pytest.mark.parametrize("case", GOLDEN["lengths"], ids=lambda case: str(case["lengths"])[:30])
def test_captions_are_cut_where_the_published_code_cuts_them(case):
    if "error" in case:  # the published code crashes on a single caption
        assert published_limit(np.array(case["lengths"])) == case["lengths"][0]
        return
    assert published_limit(np.array(case["lengths"])) == case["max_seq_len"]
    captions = [[1 + (number + place) % 97 for place in range(length)] for number, length in enumerate(case["lengths"])]
    samples = samples_of(captions, prefix_length=2)
    for item in case["items"]:
        [tokens] = samples.tokens(np.array([item["item"]]))
        assert tokens + [0] * (case["max_seq_len"] - len(tokens)) == item["tokens"]
    assert samples.cut == sum(length > case["max_seq_len"] for length in case["lengths"])


def test_token_zero_is_read_but_never_learned():
    batch = make_batch(samples_of([[5, 0, 7], [0, 0]]), np.arange(2), 2)
    assert batch.count == 2
    assert sorted(batch.targets[batch.targets != -100].tolist()) == [5, 7]
    assert batch.tokens.tolist() == [[5, 0], [0, 0]]


def test_an_epoch_takes_captions_in_any_order_and_drops_what_fills_no_batch():
    order = shuffled_order(23, 5, np.random.default_rng(0))
    assert [len(members) for members in order] == [5] * 4
    assert len(set(np.concatenate(order).tolist())) == 20
    assert np.concatenate(order).tolist() != sorted(np.concatenate(order).tolist())


def test_the_original_objective_brings_the_settings_of_the_published_code_unless_they_are_written_out():
    plain = TrainPart.model_validate(ORIGINAL)
    assert (plain.optimizer, plain.weight_decay, plain.clip_grad, plain.warmup_steps) == ("hfadamw", 0.0, None, 5000)
    other = TrainPart.model_validate({**ORIGINAL, "optimizer": "adamw", "clip_grad": 1.0, "warmup": 0.1})
    assert (other.optimizer, other.weight_decay, other.clip_grad, other.warmup_steps) == ("adamw", 0.0, 1.0, None)
    assert TrainPart.model_validate(plain.model_dump()) == plain
