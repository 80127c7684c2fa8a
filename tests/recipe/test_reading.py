import pytest
import yaml

from clipcap_cli.errors import InputError
from clipcap_cli.recipe import Recipe, dump_recipe, find_recipe, load_recipe, shipped_recipes


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_every_shipped_recipe_is_right_and_shows_how_to_run_it(name):
    recipe = load_recipe(name)
    head = shipped_recipes()[name].read_text(encoding="utf-8").split("\nname:")[0]

    assert recipe.name == name
    assert "clipcap train" in head


def test_an_empty_recipe_is_all_defaults(write):
    assert load_recipe(write("")) == Recipe.model_validate({})


def test_a_recipe_written_out_reads_back_the_same(write):
    recipe = load_recipe("quickstart", ["train.lr=3e-4", "encoder.noise=0"])
    assert load_recipe(write(dump_recipe(recipe))) == recipe


def test_all_mistakes_come_at_once_each_with_its_line(write):
    path = write("name: bad name!\nsed: 3\ndataset: {nam: x}\ntrain:\n  epochs: ten\n  lr: -1\ndecode: {beams: 0, strategy: bean}\n")
    with pytest.raises(InputError) as caught:
        load_recipe(path)

    text = str(caught.value)
    assert "7 mistakes" in text
    for line, words in [
        (1, "name: "),
        (2, "unknown key 'sed'; did you mean 'seed'?"),
        (3, "unknown key 'dataset.nam'; did you mean 'name'?"),
        (5, "train.epochs: "),
        (6, "train.lr: input should be greater than 0, not -1"),
        (7, "decode.beams: "),
        (7, "decode.strategy: input should be 'greedy', 'beam', 'sample' or 'contrastive', not 'bean'"),
    ]:
        assert f"{path}:{line}: {words}" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: [", "not YAML"),
        ("- a\n- b\n", "a recipe is a list of 'key: value' lines"),
        ("just words", "a recipe is a list of 'key: value' lines"),
        ("seed: 1\nseed: 2\n", "the key 'seed' is there twice"),
        ("extends: nowhere\n", "there is no recipe named 'nowhere'"),
        ("extends: 3\n", "'extends' names one recipe, not 3"),
        ("decode: {min_tokens: 50, max_tokens: 9}", "min_tokens 50 is more than max_tokens 9"),
        ("train: {lr: .nan}", "train.lr"),
        ("train: 5", "train"),
    ],
)
def test_what_is_no_recipe_is_said_with_its_place(write, text, words):
    with pytest.raises(InputError) as caught:
        load_recipe(write(text))
    assert words in str(caught.value)
    assert "mine.yaml" in str(caught.value) or "nowhere" in str(caught.value)


def test_a_picture_in_the_place_of_a_recipe_is_said(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match="not UTF-8"):
        load_recipe(tmp_path / "a.yaml")


def test_the_command_line_wins_over_the_file_and_the_file_over_what_it_extends(write):
    write("extends: quickstart\ntrain: {epochs: 3, lr: 0.5}\n", "base.yaml")
    recipe = load_recipe(write("extends: base.yaml\ntrain: {epochs: 4}\n"), ["train.batch_size=7"])

    assert (recipe.train.epochs, recipe.train.lr, recipe.train.batch_size) == (4, 0.5, 7)
    assert recipe.encoder == load_recipe("quickstart").encoder


def test_a_recipe_that_extends_itself_is_refused(write):
    write("extends: b.yaml\n", "a.yaml")
    with pytest.raises(InputError, match="extends itself"):
        load_recipe(write("extends: a.yaml\n", "b.yaml"))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epochs", "does not set a key"),
        ("train.epoch=3", "unknown key 'train.epoch'; did you mean 'epochs'?"),
        ("train.rl=1", "did you mean 'lr'?"),
        ("train.smoothing=1", "did you mean 'label_smoothing'?"),
        ("seed={", "is not YAML"),
    ],
)
def test_wrong_overrides_are_said_to_be_from_the_command_line(override, words):
    with pytest.raises(InputError) as caught:
        load_recipe("quickstart", [override])
    assert words in str(caught.value)
    assert "command line" in str(caught.value)


@pytest.mark.parametrize("name", ["quickstart", "quickstart.yaml", "recipes/quickstart.yaml"])
def test_a_shipped_recipe_is_found_by_its_name_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert yaml.safe_load(find_recipe(name).read_text(encoding="utf-8"))["name"] == "quickstart"


def test_a_misspelt_recipe_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'quickstart'"):
        load_recipe("quikstart")
