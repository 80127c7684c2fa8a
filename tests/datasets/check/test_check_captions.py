from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clipcap_cli.datasets.check import caption_checks
from clipcap_cli.datasets.check.findings import Finding
from clipcap_cli.datasets.check.material import Check, Material
from clipcap_cli.datasets.check.mending import without_entities, without_mojibake, without_stray_space
from clipcap_cli.datasets.check.scripts import script_of
from clipcap_cli.datasets.versions import Picture

Make = Callable[..., Material]
Told = Callable[..., Picture]

# What people write and what nothing is to be said about.
_RIGHT = (
    "Café crème, brûlée à la façon de grand-mère.",
    "Ein Mädchen fährt über die Straße; „schön“, sagt es.",
    "Pão de queijo – três euros!",
    "Zażółć gęślą jaźń.",
    "5 < 6 and 7 > 6.",
    "A heart <3 on a wall.",
    "Fish & chips, R&B; AT&T.",
    "Player #12 of the red team @ home.",
    "Don’t walk — “stop” says the sign.",
    "A 50 mm lens costs €300 ± 10 %.",
    "Two people… and a dog.",
    "An array[0](1) of things.",
    "Emoji 👩‍🍳 and ☕️ on a card.",
)


@pytest.fixture
def check_captions(material: Make, told: Told) -> Callable[..., dict[str, Finding]]:
    """What is found in captions, each of a picture of its own, by kind."""

    def check(*captions: str) -> dict[str, Finding]:
        made = material(*(told(f"images/{number}.jpg", caption) for number, caption in enumerate(captions)))
        return {finding.kind: finding for one in caption_checks.CHECKS if (finding := one(made))}

    return check


def hits(check: Check, material: Make, told: Told, *captions: str) -> list[str]:
    finding = check(material(*(told(f"images/{number}.jpg", caption) for number, caption in enumerate(captions))))
    return [caption for _, caption in finding.captions] if finding else []


@pytest.mark.parametrize("caption", _RIGHT)
def test_nothing_is_invented_about_captions_as_people_write_them(caption: str, check_captions: Callable[..., dict[str, Finding]]) -> None:
    assert check_captions(caption) == {}
    assert without_mojibake(caption) == without_entities(caption) == without_stray_space(caption) == caption


@pytest.mark.parametrize(
    ("spoilt", "meant"),
    [
        ("cafÃ© crÃ¨me", "café crème"),
        ("It isnâ€™t a dog", "It isn’t a dog"),
        ("ÐšÐ¾ÑˆÐºÐ° Ð½Ð° Ð¾ÐºÐ½Ðµ", "Кошка на окне"),
        ("sÃ£o paulo", "são paulo"),
    ],
)
def test_letters_that_were_read_in_the_wrong_encoding_are_known_and_mended(spoilt: str, meant: str, check_captions: Callable[..., dict[str, Finding]]) -> None:
    assert without_mojibake(spoilt) == meant
    assert check_captions(spoilt)["mojibake"].count == 1


def test_entities_are_mended_even_where_they_were_written_twice() -> None:
    assert without_entities("fish &amp;amp; chips &lt;3 &#233; &#xe9; &nosuch; &copy") == "fish & chips <3 é é &nosuch; &copy"


def test_invisible_characters_go_and_those_that_join_letters_stay() -> None:
    assert without_stray_space(" a\u200b red \n\u00adboat\ufeff ") == "a red boat"
    assert without_stray_space("می\u200cخواهم") == "می\u200cخواهم"
    assert without_stray_space("\u200b") == "\u200b"  # nothing would be left of the caption


@pytest.mark.parametrize(
    ("text", "script"),
    [
        *(("A dog", "Latin"), ("Жук у дома ok", "Cyrillic"), ("犬が走っている", "Chinese or Japanese"), ("สุนัข", "Thai"), ("12 + 3", None), ("🐕 !", None)),
        *(("كلب", "Arabic"), ("Ein Käfer", "Latin"), ("개가 달린다", "Hangul")),
    ],
)
def test_the_script_of_a_text_is_that_of_most_of_its_letters(text: str, script: str | None) -> None:
    assert script_of(text) == script


def test_captions_in_several_scripts_are_odd_only_where_most_are_in_one(check_captions: Callable[..., dict[str, Finding]]) -> None:
    assert check_captions(*["A dog runs by."] * 9, "Собака бежит.")["other-script"].severity == "warning"
    assert check_captions(*["A dog runs by."] * 6, *["Собака бежит."] * 4)["other-script"].severity == "info"
    assert "other-script" not in check_captions(*["A dog runs by."] * 9, "12 + 3.")


def test_languages_without_blanks_have_no_captions_of_one_word(material: Make, told: Told) -> None:
    assert hits(caption_checks.one_word, material, told, "dog", "犬が走っている。", "สุนัขวิ่ง", "a dog") == ["dog"]


def test_captions_without_end_mark_are_found_where_others_have_one(check_captions: Callable[..., dict[str, Finding]]) -> None:
    assert "no-end-mark" not in check_captions("a dog runs", "two cats sit")
    assert "no-end-mark" not in check_captions("A dog runs.", "“Stop!”", "Is it a dog ?", "犬が走っている。", "A dog (brown).")
    assert check_captions("A dog runs.", "two cats sit", "a horse stands")["no-end-mark"].count == 2
    few = check_captions(*(f"Dog number {number} runs." for number in range(200)), "a cat sits")["no-end-mark"]
    assert (few.severity, few.count) == ("info", 1)


def test_a_caption_of_many_pictures_is_repeated_whatever_its_case_and_end(material: Make, told: Told) -> None:
    nine = [f"{'A' if number % 2 else 'a'} dish{'.' if number % 3 else ''}" for number in range(9)]
    assert hits(caption_checks.repeated, material, told, *nine, "Soup.") == []
    assert hits(caption_checks.repeated, material, told, *nine, "Soup.", "A DISH!") == [*nine, "A DISH!"]


def test_a_caption_that_many_captions_of_few_pictures_have_is_not_repeated(material: Make, told: Told) -> None:
    assert caption_checks.repeated(material(*(told(f"{number}.jpg", *["A dish."] * 5) for number in range(9)))) is None


@pytest.mark.parametrize("name", ["IMG_2041", "DSC00123", "photo.jpeg", "P1000123", "Screenshot_20240501", "my-photo.PNG", "image 0012"])
def test_names_of_files_are_no_captions(name: str, material: Make, told: Told) -> None:
    assert hits(caption_checks.file_name, material, told, name) == [name]


def test_a_caption_may_be_the_word_that_its_file_is_called_by(material: Make, told: Told) -> None:
    assert caption_checks.file_name(material(told("dishes/pizza.jpg", "pizza"), told("a dog.jpg", "a dog"), told("x.jpg", "Photo 51"))) is None
    finding = caption_checks.file_name(material(told("dishes/0132_a.jpg", "0132_a")))
    assert finding is not None
    assert finding.captions == (("dishes/0132_a.jpg", "0132_a"),)


@pytest.mark.parametrize("caption", ["A <br/> dog", "see https://a.b/c", "www.dogs.com", "a [dog](dogs/1)", "</p> dog"])
def test_markup_is_found(caption: str, material: Make, told: Told) -> None:
    assert hits(caption_checks.markup, material, told, caption) == [caption]


def test_words_that_lead_in_are_found_where_many_captions_have_them(material: Make, told: Told) -> None:
    leading = ["A photo of a dog", "this is a picture of a cat", "The image shows a cow", "In this picture a pig eats", "Close-up photo of an egg"]
    assert hits(caption_checks.leading_phrase, material, told, *leading) == leading
    assert hits(caption_checks.leading_phrase, material, told, *leading[:4]) == []
    assert hits(caption_checks.leading_phrase, material, told, *leading, *(f"dog {number} runs" for number in range(500))) == []
    assert hits(caption_checks.leading_phrase, material, told, *["A painting of a dog", "A photographer of birds", "A picture frame"] * 5) == []


def test_capitals_are_found_but_not_abbreviations(material: Make, told: Told) -> None:
    assert hits(caption_checks.shouting, material, told, "A MAN RUNS DOWN", "BMW X5", "NASA, USA", "STOP", "A man RUNS") == ["A MAN RUNS DOWN"]


def test_a_caption_that_begins_anew_repeats_itself(material: Make, told: Told) -> None:
    titled = [f"{number} fresh loaves on a wooden board {number} fresh loaves on a wooden board in a bakery" for number in range(5)]
    assert hits(caption_checks.repeats_itself, material, told, *titled) == titled
    assert hits(caption_checks.repeats_itself, material, told, *titled[:4]) == []
    assert hits(caption_checks.repeats_itself, material, told, *["A man in a red hat and a man in a blue hat"] * 9) == []


def test_what_a_picture_says_twice_is_told_once_for_each_time_too_many(material: Make, told: Told) -> None:
    finding = caption_checks.said_twice(material(told("a", "A dog.", "A cat.", "A dog.", "A dog."), told("b", "A dog.")))
    assert finding is not None
    assert (finding.count, finding.captions, finding.pictures) == (2, (("a", "A dog."), ("a", "A dog.")), ("a",))


def test_a_dataset_without_captions_or_with_odd_ones_is_checked_all_the_same(material: Make, told: Told) -> None:
    for captions in ((), ("",), (".",), (" ",), ("\u200b",), ("a" * 100_000,), ("&" * 1_000,), ("<" * 1_000,)):
        for check in caption_checks.CHECKS:
            check(material(told("a.jpg", *captions)))


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.text("Ã©â€&#;amp <>.\u200b", min_size=1))
@example("&#0;")
@example("&#x110000;")
def test_no_text_stops_a_check_or_is_mended_away(text: str) -> None:
    made = Material("food", "/food", [Picture("1", "", "1.jpg", "train", 1, 1, 0, 0, (text,))], [None])
    for check in caption_checks.CHECKS:
        check(made)
    assert without_stray_space(without_entities(without_mojibake(text)))
