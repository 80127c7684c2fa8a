from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from clipcap_cli.captioner.captioner import Caption, Captioner
from clipcap_cli.captioner.decoding.settings import change_decoding
from clipcap_cli.errors import ClipcapError, InputError
from clipcap_cli.events import Advanced, Finished, Started
from clipcap_cli.recipe.schema import Decode

MakeCaptioner = Callable[..., Captioner]


@pytest.fixture
def embeddings() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32) * 3


def texts(captions: list[Caption]) -> list[str]:
    return [caption.text for caption in captions]


@pytest.mark.parametrize("strategy", ["greedy", "beam", "sample", "contrastive"])
def test_captions_do_not_depend_on_the_batch_they_are_written_in(strategy: str, make_captioner: MakeCaptioner, embeddings: np.ndarray) -> None:
    captioner = make_captioner(strategy=strategy)
    together = captioner.caption_embeddings(embeddings, batch_size=7, seed=5)
    assert texts(captioner.caption_embeddings(embeddings, batch_size=1, seed=5)) == texts(together)
    assert texts(captioner.caption_embeddings(torch.from_numpy(embeddings), batch_size=3, seed=5)) == texts(together)
    assert len(set(texts(together))) > 1


def test_a_caption_is_its_best_candidate_without_the_end_token(make_captioner: MakeCaptioner, embeddings: np.ndarray) -> None:
    captioner = make_captioner(beams=4, max_tokens=12)
    for caption in captioner.caption_embeddings(embeddings):
        scores = [candidate.score for candidate in caption.candidates]
        assert len(scores) == 4
        assert scores == sorted(scores, reverse=True)
        assert (caption.text, caption.score) == (caption.candidates[0].text, scores[0])
        assert captioner.language_model.end_token not in caption.tokens
        assert captioner.language_model.detokenize(caption.tokens).strip() == caption.text


@pytest.mark.parametrize("shortest", [1, 5])
def test_a_caption_has_at_least_as_many_tokens_as_asked_for(shortest: int, make_captioner: MakeCaptioner, embeddings: np.ndarray) -> None:
    captioner = make_captioner(min_tokens=shortest)
    head = captioner.language_model.model.get_output_embeddings()
    with torch.no_grad():
        head.weight[captioner.language_model.end_token] = 0.0
        head.weight[captioner.language_model.end_token] += 50 * captioner.language_model.hidden(captioner.prefix(embeddings))[:, -1].mean(dim=0)
    lengths = [len(caption.tokens) for caption in captioner.caption_embeddings(embeddings)]
    assert min(lengths) >= shortest


def test_a_stop_text_ends_the_caption_and_belongs_to_it(make_captioner: MakeCaptioner, embeddings: np.ndarray) -> None:
    captioner = make_captioner(max_tokens=20)
    lm = captioner.language_model
    made = sorted({token for caption in captioner.caption_embeddings(embeddings) for token in caption.tokens[2:]})
    stop, token = next((lm.detokenize([token]), token) for token in made if lm.tokenize([lm.detokenize([token])]) == [[token]])
    for caption in captioner.caption_embeddings(embeddings, change_decoding(captioner.decode, {"stop": stop})):
        assert token not in caption.tokens[:-1]
        assert caption.tokens[-1] == token or len(caption.tokens) == 20


def test_embeddings_of_another_size_are_refused(make_captioner: MakeCaptioner) -> None:
    with pytest.raises(InputError) as caught:
        make_captioner().caption_embeddings(np.zeros((2, 9), np.float32))
    assert caught.value.message == "embeddings of shape (2, 9) are not [pictures, 6]"
    assert "test:colours" in str(caught.value.hint)


def test_weights_that_went_wrong_are_told_and_not_turned_into_words(make_captioner: MakeCaptioner, embeddings: np.ndarray) -> None:
    captioner = make_captioner()
    with torch.no_grad():
        next(captioner.mapper.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match="its training went wrong"):
        captioner.caption_embeddings(embeddings)


def test_captions_between_training_steps_are_written_without_dropout(make_captioner: MakeCaptioner, embeddings: np.ndarray) -> None:
    captioner = make_captioner()
    expected = texts(captioner.caption_embeddings(embeddings))
    for module in captioner.language_model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.9
    captioner.language_model.train()
    assert texts(captioner.caption_embeddings(embeddings)) == expected
    assert captioner.language_model.training


def test_paths_images_and_arrays_get_the_same_caption_in_order(make_captioner: MakeCaptioner, encoder: Any, tmp_path: Path) -> None:
    captioner = make_captioner()
    captioner._encoder = encoder
    arrays = [np.full((10, 12, 3), colour, np.uint8) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for array, path in zip(arrays, paths, strict=True):
        Image.fromarray(array).save(path)
    heard: list[Any] = []
    captions = list(captioner.caption([str(paths[0]), Image.fromarray(arrays[1]), arrays[2], paths[2], arrays[0]], batch_size=2, events=heard.append))
    expected = captioner.caption_embeddings(encoder.encode(np.stack(arrays)[:, :8, :8]))
    assert [caption.text for caption in captions if isinstance(caption, Caption)] == [expected[number].text for number in (0, 1, 2, 2, 0)]
    assert [caption.source for caption in captions if isinstance(caption, Caption)] == [str(paths[0]), None, None, str(paths[2]), None]
    assert heard[0] == Started("caption", 5, "pictures")
    assert sum(event.amount for event in heard if isinstance(event, Advanced)) == 5
    assert heard[-1] == Finished("caption")


def test_a_picture_that_cannot_be_read_ends_it_or_takes_its_place_as_asked(make_captioner: MakeCaptioner, encoder: Any, tmp_path: Path) -> None:
    captioner = make_captioner()
    captioner._encoder = encoder
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.new("RGB", (9, 9), "red").save(good)
    bad.write_text("<html>not found</html>")
    kinds = [type(result) for result in captioner.caption([good, bad, good, bad], batch_size=3, on_error="yield")]
    assert [issubclass(kind, ClipcapError) for kind in kinds] == [False, True, False, True]
    with pytest.raises(ClipcapError, match=r"bad\.png"):
        list(captioner.caption([good, bad]))


def test_settings_are_checked_before_anything_is_computed(make_captioner: MakeCaptioner) -> None:
    captioner = make_captioner()
    with pytest.raises(InputError, match="unknown setting 'beems'; did you mean 'beams'"):
        captioner.caption([], beems=3)
    with pytest.raises(InputError, match="beams: input should be greater than or equal to 1, not 0"):
        captioner.caption([], beams=0)
    with pytest.raises(InputError, match=r"is \d tokens for the language model"):
        captioner.caption([], stop="xyzzy")
    with pytest.raises(InputError, match=r"'a\.jpg' is one path"):
        captioner.caption("a.jpg")


def test_a_setting_of_one_strategy_brings_the_strategy_with_it() -> None:
    greedy = Decode.model_validate({"strategy": "greedy"})
    assert change_decoding(greedy, {"beams": 3}).strategy == "beam"
    assert change_decoding(greedy, {"top_p": 0.5}).strategy == "sample"
    assert change_decoding(greedy, {"beams": 3, "strategy": "greedy"}).strategy == "greedy"
    assert change_decoding(greedy, {"max_tokens": 9}) == greedy.model_copy(update={"max_tokens": 9})


def test_another_encoder_than_the_one_it_was_trained_with_is_refused(make_captioner: MakeCaptioner, encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from clipcap_cli.encoders import registry

    captioner = make_captioner()
    encoder.fingerprint = "another" * 6
    monkeypatch.setattr(registry, "load_encoder", lambda *arguments, **options: encoder)
    with pytest.raises(InputError, match="is not the one that this captioner was trained with"):
        list(captioner.caption([np.zeros((8, 8, 3), np.uint8)]))
