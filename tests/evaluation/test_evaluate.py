"""From a captioner, or a file of anybody's captions, to scores with intervals and baselines."""

import json
import shutil
from dataclasses import replace

import pytest
import yaml

from clipcap_cli.datasets.dataset import open_dataset
from clipcap_cli.errors import InputError
from clipcap_cli.evaluation import versus
from clipcap_cli.evaluation.baselines import FREQUENT, HUMAN, NEAREST, RANDOM
from clipcap_cli.evaluation.comparison import compare
from clipcap_cli.evaluation.evaluate import evaluate
from clipcap_cli.evaluation.frequencies import find_frequencies
from clipcap_cli.evaluation.metrics.cider import count_documents, read_frequencies, write_frequencies
from clipcap_cli.evaluation.versus import compare_captioners, conclusions, put_side_by_side
from clipcap_cli.events import Note
from clipcap_cli.training.runs import open_run


def results(tmp_path, captions, name="captions.json"):
    path = tmp_path / name
    path.write_text(json.dumps([{"image_id": image, "caption": caption} for image, caption in captions.items()]))
    return path


PERFECT = {f"{name}5.png": f"a {name} picture" for name in ("red", "green", "blue", "grey")}


def test_a_run_is_scored_beside_what_it_has_to_beat(colours):
    scores = evaluate("colours", home=colours)

    assert (scores.data, len(scores.images), scores.run) == ("colours v1, split test", 4, "colours")
    assert [system.name for system in scores.baselines] == [HUMAN, NEAREST, RANDOM, FREQUENT]
    assert scores["CIDEr-D"] == scores.system.metric("CIDEr-D").score > 0
    for system in (scores.system, *scores.baselines):
        assert [metric.name for metric in system.metrics] == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr", "CIDEr-D"]
        assert all(interval.low <= metric.score <= interval.high for metric, interval in zip(system.metrics, system.intervals, strict=True))
    nearest = scores.baselines[1]
    assert all(name[:-5] in caption for name, caption in nearest.captions.items())
    assert scores.verdict.first == nearest.metric("CIDEr-D").score
    assert scores.signature("CIDEr-D").startswith("CIDEr-D|data:colours-v1-test|n:4|refs:2|tok:ptb|idf:eval|beam:2|max_tokens:8|clipcap:")
    assert "idf" not in scores.signature("BLEU-4")
    json.dumps(scores.as_dict(), allow_nan=False)


def test_captions_are_kept_as_coco_results_and_a_second_metric_writes_none(colours, monkeypatch):
    first = evaluate(open_run("colours", home=colours), metrics=["bleu"])
    kept = json.loads(first.predictions.read_text())
    assert [entry["image_id"] for entry in kept] == [image.name for image in first.images]
    assert {entry["image_id"]: entry["caption"] for entry in kept} == first.system.captions

    monkeypatch.setattr("clipcap_cli.evaluation.captioning.load_bundle", None)  # whoever would write captions fails
    heard = []
    second = evaluate("colours", metrics=["cider"], home=colours, events=heard.append)
    assert second.system.captions == first.system.captions
    assert any(isinstance(event, Note) and "written before" in event.text for event in heard)
    with pytest.raises(TypeError):
        evaluate("colours", decode={"beams": 3}, home=colours)  # another way of writing, other captions


def test_a_damaged_file_of_kept_captions_is_written_anew(colours):
    first = evaluate("colours", home=colours, baselines=False)
    first.predictions.write_text("[")
    assert evaluate("colours", home=colours, baselines=False).system.captions == first.system.captions
    assert json.loads(first.predictions.read_text())


def test_anybodys_captions_can_be_scored(colours, tmp_path):
    scores = evaluate(results(tmp_path, PERFECT), "colours", home=colours)
    assert scores["BLEU-3"] == pytest.approx(1)
    assert scores["ROUGE-L"] == 1
    assert [system.name for system in scores.baselines] == [HUMAN, RANDOM, FREQUENT]  # no encoder is named, so there are no neighbours
    with_neighbours = evaluate(results(tmp_path, PERFECT), "colours", encoder="efficientnet-lite0", home=colours)
    assert NEAREST in [system.name for system in with_neighbours.baselines]


def test_references_may_come_from_a_file(colours, tmp_path):
    references = tmp_path / "references.csv"
    references.write_text("image,caption\na.jpg,a red square\na.jpg,a square in red\nb.jpg,two blue circles\n")
    scores = evaluate(results(tmp_path, {"a": "a red square", "b": "two blue circles"}), references=references, home=colours)
    assert scores["ROUGE-L"] == 1
    assert scores.data == "references.csv"
    human = scores.baselines[0]
    assert (human.name, list(human.captions)) == (HUMAN, ["a.jpg"])


def test_pictures_that_one_side_lacks_are_listed_and_left_out_only_when_asked(colours, tmp_path):
    some = {**dict(list(PERFECT.items())[:3]), "elsewhere.jpg": "x"}
    with pytest.raises(InputError, match=r"pictures without a caption: 1: 'grey5.png'; captions of pictures that are not in .*: 1: 'elsewhere.jpg'"):
        evaluate(results(tmp_path, some), "colours", home=colours)
    scores = evaluate(results(tmp_path, some), "colours", partial=True, home=colours)
    assert (len(scores.images), scores.left_out) == (3, ("grey5.png",))
    with pytest.raises(InputError, match="none of its pictures is in colours"):
        evaluate(results(tmp_path, {"elsewhere.jpg": "x"}), "colours", home=colours)


def test_one_is_warned_of_few_pictures_and_single_references_and_pictures_that_were_learned_from(colours, tmp_path):
    references = tmp_path / "references.csv"
    references.write_text("image,caption\na.jpg,a red square\nb.jpg,two blue circles\n")
    told = "\n".join(evaluate(results(tmp_path, {"a": "a", "b": "b"}), references=references, home=colours).warnings)
    assert "2 pictures: under 100" in told
    assert "one reference" in told
    assert "learned from (split train)" in "\n".join(evaluate("colours", split="train", home=colours).warnings)


def test_a_captioner_that_is_no_better_than_its_neighbours_is_told_so(colours, tmp_path):
    worse = results(tmp_path, dict.fromkeys(PERFECT, "a dog runs on the grass"))
    scores = evaluate(worse, "colours", encoder="efficientnet-lite0", home=colours)
    assert scores.verdict.difference < 0
    assert scores.beats_neighbours is False


def test_clipscore_needs_a_text_tower_and_warns_of_judging_ones_own_work(colours, tmp_path):
    with pytest.raises(InputError, match="efficientnet-lite0 turns no texts into vectors") as caught:
        evaluate("colours", metrics=["clipscore"], home=colours)
    assert "--clip" in caught.value.hint
    scores = evaluate(results(tmp_path, PERFECT), "colours", metrics=["clipscore", "retrieval"], clip="hf:colours", home=colours)
    assert [metric.name for metric in scores.system.metrics] == ["CLIPScore", "RefCLIPScore", "R@1", "R@5", "R@10"]
    assert scores["CLIPScore"] > 2.4
    assert scores["R@1"] == 1
    assert scores.signature("CLIPScore").endswith("|clip:hf:colours|clipcap:" + scores.signature("CLIPScore").rpartition(":")[2])


def test_document_frequencies_of_a_corpus_take_the_place_of_those_of_the_set(colours, tmp_path):
    path = results(tmp_path, dict(list(PERFECT.items())[:1]))
    alone = evaluate(path, "colours", partial=True, home=colours)
    assert alone["CIDEr-D"] == 0  # one picture: no word is rarer than another

    frequencies = find_frequencies("colours:train", colours)
    write_frequencies(tmp_path / "idf.json", frequencies)
    assert (
        read_frequencies(tmp_path / "idf.json")
        == frequencies
        == count_documents("colours:train", [i.captions for i in open_dataset("colours", home=colours).images("train")])
    )
    scores = evaluate(path, "colours", partial=True, frequencies=find_frequencies(str(tmp_path / "idf.json"), colours), home=colours)
    assert scores["CIDEr-D"] > 1
    assert "idf:colours:train" in scores.signature("CIDEr-D")


def test_stored_frequencies_of_the_same_set_change_nothing(colours, tmp_path):
    path = results(tmp_path, PERFECT)
    plain = evaluate(path, "colours", home=colours)
    stored = evaluate(path, "colours", frequencies=find_frequencies("colours:test", colours), home=colours)
    assert stored["CIDEr"] == pytest.approx(plain["CIDEr"])


def test_two_are_put_side_by_side_picture_by_picture(colours, tmp_path):
    good = evaluate(results(tmp_path, PERFECT, "good.json"), "colours", home=colours, baselines=False)
    bad = evaluate(results(tmp_path, {**PERFECT, "red5.png": "a dog"}, "bad.json"), "colours", home=colours, baselines=False)

    comparison = put_side_by_side(good, bad)
    assert comparison.same_captions == 3
    assert [(change.image, change.first, change.second, change.difference < 0) for change in comparison.changes] == [
        ("red5.png", "a red picture", "a dog", True)
    ]
    assert "cannot be told apart" in conclusions(comparison)[0]  # one picture of four proves nothing
    json.dumps(comparison.as_dict(5), allow_nan=False)
    with pytest.raises(InputError, match=r"Compare on the same pictures|was scored on"):
        put_side_by_side(good, evaluate("colours", split="val", home=colours, baselines=False))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"what": "colourz"}, "no model or run named 'colourz'"),
        ({"dataset": "colors"}, "no dataset named 'colors'"),
        ({"split": "tset"}, "no split 'tset'"),
        ({"metrics": ["ciderr"]}, r"no metric 'ciderr'; did you mean 'cider'\?"),
        ({"what": "none.json"}, r"not said which pictures|no such file"),
        ({"decode": {"beems": 3}}, "unknown setting 'beems'"),
    ],
)
def test_a_wrong_name_is_told_with_what_was_meant(colours, arguments, message):
    with pytest.raises(InputError, match=message):
        evaluate(**{"what": "colours", "home": colours, **arguments})


def test_frequencies_that_are_none_are_refused(tmp_path, home):
    path = tmp_path / "x.json"
    with pytest.raises(InputError, match="no such file of document frequencies"):
        read_frequencies(path)
    for content in ("{", "[]", '{"documents": 0, "counts": {}}', '{"documents": 3, "counts": {"a": "b"}}'):
        path.write_text(content)
        with pytest.raises(InputError, match=r"cannot be read|no document frequencies"):
            read_frequencies(path)


def again(home, name, **changes):
    """A run of the same weights whose recipe says something else."""
    folder = shutil.copytree(home.runs / "colours", home.runs / name)
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    recipe["name"] = name
    for key, value in changes.items():
        part, _, leaf = key.rpartition("__")
        (recipe[part] if part else recipe)[leaf] = value
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return name


def test_trainings_that_differ_in_their_seed_alone_differ_by_luck_and_others_by_what_their_recipes_say(colours, tmp_path, monkeypatch):
    seed, rate = again(colours, "other-seed", seed=1), again(colours, "other-rate", seed=1, train__lr=0.5)
    # However sure it is that the two sets of weights are not equally good.
    monkeypatch.setattr(versus, "compare", lambda first, second: [replace(difference, is_real=True) for difference in compare(first, second, samples=50)])
    try:
        luck = compare_captioners("colours", seed, home=colours)
        assert (luck.is_luck, luck.recipes) == (True, {"seed": (0, 1)})
        assert not any(difference.is_real for difference in luck.differences)
        finding = compare_captioners("colours", rate, home=colours)
        assert (finding.is_luck, finding.recipes) == (False, {"seed": (0, 1), "train.lr": (0.001, 0.5)})
        assert all(difference.is_real for difference in finding.differences)
        with_a_file = compare_captioners("colours", results(tmp_path, PERFECT), home=colours)
        assert (with_a_file.is_luck, with_a_file.recipes) == (False, None)
    finally:
        for name in (seed, rate):
            shutil.rmtree(colours.runs / name)


def test_a_wrong_second_name_is_told_before_the_first_is_scored(colours, monkeypatch):
    monkeypatch.setattr(versus, "evaluate", None)
    with pytest.raises(InputError, match="no model or run named 'colourz'"):
        compare_captioners("colours", "colourz", home=colours)


def test_a_number_means_the_picture_that_the_references_give_it(colours, tmp_path):
    """Also where the file's name has another number in it."""
    references = tmp_path / "references.json"
    images = [{"id": 1, "file_name": "img_2.jpg"}, {"id": 2, "file_name": "img_1.jpg"}]
    annotations = [{"image_id": 1, "caption": "a red square"}, {"image_id": 2, "caption": "two blue circles"}]
    references.write_text(json.dumps({"images": images, "annotations": annotations}))
    said = tmp_path / "said.json"
    said.write_text(json.dumps(annotations))
    assert evaluate(said, references=references, home=colours)["ROUGE-L"] == 1
    named = results(tmp_path, {"img_2.jpg": "a red square", "img_1": "two blue circles"})
    assert evaluate(named, references=references, home=colours)["rouge-l"] == 1


def test_metrics_are_named_as_tables_print_them(colours, tmp_path):
    scores = evaluate(results(tmp_path, PERFECT), "colours", metrics=["CIDEr-D,rouge", "BLEU-4"], home=colours)
    assert [metric.name for metric in scores.system.metrics] == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr", "CIDEr-D"]
    with pytest.raises(KeyError, match="'METEOR' is not among BLEU-1, "):
        scores["METEOR"]
    assert repr(scores).startswith("<Scores of captions.json on colours v1, split test, 4 pictures: BLEU-1 1.000 (1.000 to 1.000)")


def test_saved_frequencies_are_found_whatever_the_file_is_called(colours, tmp_path):
    write_frequencies(tmp_path / "food.idf", find_frequencies("colours:train", colours))
    assert find_frequencies(str(tmp_path / "food.idf"), colours).documents == 16


def test_what_would_have_no_effect_is_refused(colours, tmp_path):
    said, references = results(tmp_path, PERFECT), tmp_path / "r.csv"
    references.write_text("image,caption\nred5.png,a red picture\n")
    for arguments, message in (
        ({"what": said, "dataset": "colours", "decode": {"beams": 3}}, "are written already"),
        ({"what": said, "dataset": "colours", "clip": "hf:colours"}, "uses --clip"),
        ({"what": said, "dataset": "colours", "references": references}, "takes the place of a dataset"),
        ({"what": "colours", "partial": True}, "for files of captions"),
        ({"what": "colours", "encoder": "hf:colours"}, "has an encoder of its own"),
        ({"what": tmp_path / "said.txt"}, "is no file of captions"),
    ):
        (tmp_path / "said.txt").write_text("a.jpg: a dog")
        with pytest.raises(InputError, match=message):
            evaluate(**{"home": colours, **arguments})


def test_one_is_told_that_the_best_step_was_chosen_on_these_pictures(colours):
    assert "its best step was chosen on these pictures (split val)" in "\n".join(evaluate("colours", split="val", home=colours).warnings)


def test_a_run_and_its_bundle_share_their_captions(colours, monkeypatch):
    evaluate("colours", home=colours, baselines=False)
    monkeypatch.setattr("clipcap_cli.evaluation.captioning.load_bundle", None)
    assert evaluate(colours.runs / "colours" / "best", home=colours, baselines=False)["CIDEr"] > 0


def test_a_run_is_meant_also_where_a_file_of_its_name_lies(colours, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "colours").write_text("not this")
    assert evaluate("colours", home=colours, baselines=False).run == "colours"
