"""Captions are cut into the very tokens of the COCO caption evaluation: every expected string here came from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipcap_cli.evaluation.metrics.tokenizer import PUNCTUATION, tokenize
from clipcap_cli.evaluation.metrics.tokenizer.automaton import Automaton, Node, backwards, parse

ROOT = Path(__file__).resolve().parents[3]
ODD_CAPTIONS = [(row["caption"], row["tokens"]) for row in json.loads((Path(__file__).parent / "data/tokenizer/odd_captions.json").read_text())]
# Pieces whose reading depends on what comes before and after them.
FRAGMENTS = [
    "a",
    "The",
    "dog",
    " ",
    " ",
    "  ",
    ".",
    "'",
    "'s",
    "n't",
    "-",
    ",",
    "1",
    "1/2",
    "fig.",
    "U.S.",
    "B.",
    "<b>",
    '<a b="',
    "@",
    "x.com",
    "\xa0",
    "…",
    "(",
    "é",
    "😀",
    "٣",
]


def assert_tokens(cases: dict[str, str]) -> None:
    assert dict(zip(cases, tokenize(list(cases)), strict=True)) == cases


def test_punctuation_is_dropped_and_the_rest_is_in_lower_case() -> None:
    assert_tokens(
        {
            "Two dogs, one ball: a Game!": "two dogs one ball a game",
            'A man says "hello" -- and then... he leaves.': "a man says hello and then he leaves",
            "“Curly” ‘quotes’ and ``LaTeX'' ones": "curly quotes and latex ones",
            "?": "",
        }
    )


def test_a_contraction_is_two_words() -> None:
    assert_tokens(
        {
            "A dog don't like its owner's hat": "a dog do n't like its owner 's hat",
            "I'm sure they'll say he’d": "i 'm sure they 'll say he 'd",
            "you cannot, I'm gonna, 'tis": "you can not i 'm gon na 't is",
            "the dogs' ball": "the dogs ball",
        }
    )


def test_some_words_keep_their_apostrophe() -> None:
    assert_tokens({"five o'clock, ma'am": "five o'clock ma'am", "O'Neil, d'Artagnan": "o'neil d'artagnan", "'cause of the '90s": "'cause of the '90s"})


def test_an_abbreviation_keeps_its_period() -> None:
    assert_tokens(
        {
            "Mr. Smith of Acme Inc. on Jan. 3": "mr. smith of acme inc. on jan. 3",
            "the U.S. flag at 5 p.m.": "the u.s. flag at 5 p.m.",
            "fruit etc.": "fruit etc.",
            "a street in La. and a street in la.": "a street in la. and a street in la",
        }
    )


def test_what_follows_may_tell_whether_a_period_belongs_to_a_word() -> None:
    assert_tokens({"see fig. 3": "see fig. 3", "see a fig. three": "see a fig three", "plan B. The dog": "plan b the dog", "plan B. and": "plan b. and"})


def test_numbers_stay_whole() -> None:
    assert_tokens(
        {
            "10,000 people at 12:30": "10,000 people at 12:30",
            "on 12/31/2014": "on 12/31/2014",
            "call 555-1234": "call 555-1234",
            "half: ½, 3/4": "half 1/2 3/4",
            "costs $5 or £3 or 99¢": "costs $ 5 or # 3 or 99 cents",
        }
    )


def test_a_token_may_hold_a_hard_space() -> None:
    assert_tokens({"1 1/2 cups": "1\xa01/2 cups", "(555) 123-4567": "-lrb-555-rrb-\xa0123-4567", '<a href="x y">': '<a\xa0href="x\xa0y">'})


def test_brackets_become_words_that_are_kept() -> None:
    assert_tokens({"a dog (brown) [sic] {x}": "a dog -lrb- brown -rrb- -lsb- sic -rsb- -lcb- x -rcb-"})


def test_addresses_and_names_of_the_net_stay_whole() -> None:
    assert_tokens(
        {
            "see http://example.com/a?b=c, or foo.org!": "see http://example.com/a?b=c or foo.org",
            "mail <me@x.org> #dogs @dog": "mail <me@x.org> #dogs @dog",
            "open photo.jpg.": "open photo.jpg",
        }
    )


def test_hyphens_join_and_dashes_part() -> None:
    assert_tokens({"a well-known mother-in-law": "a well-known mother-in-law", "dogs--cats – birds — fish": "dogs cats birds fish", "-----": "-----"})


def test_entities_and_tags_are_understood() -> None:
    assert_tokens({"fish &amp; chips": "fish & chips", "<b>bold</b>": "<b> bold </b>", "a &lt; b": "a < b"})


def test_other_scripts_are_cut_at_their_own_marks() -> None:
    assert_tokens({"Две собаки играют.": "две собаки играют", "两只狗。": "两只狗 。", "नमस्ते दुनिया।": "नमस्ते दुनिया ।", "한국어 문장": "한국어 문장"})


def test_soft_hyphens_vanish_and_emoji_too() -> None:
    assert_tokens({"co\xadoperate": "cooperate", "a dog 😀 here": "a dog here", "cafe\u0301": "cafe\u0301"})


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\u2028", "\u2029"])
def test_the_end_of_a_line_inside_a_caption_is_white_space(line_end: str) -> None:
    assert tokenize([f"a dog{line_end}runs", "a cat"]) == ["a dog runs", "a cat"]


@pytest.mark.parametrize("caption", ["", " ", "\n", "\t \xa0\u3000", ".", "...", "'", "\x00", "\ud800"])
def test_an_empty_caption_has_no_tokens(caption: str) -> None:
    assert tokenize([caption]) == [""]


def test_no_captions_have_no_tokens() -> None:
    assert tokenize([]) == []


def test_hundreds_of_odd_captions_come_out_as_in_the_reference() -> None:
    assert len(ODD_CAPTIONS) > 300
    wrong = [
        (caption, expected, found)
        for (caption, expected), found in zip(ODD_CAPTIONS, tokenize([row[0] for row in ODD_CAPTIONS]), strict=True)
        if expected != found
    ]
    assert wrong == []


def test_the_list_of_punctuation_is_that_of_the_reference() -> None:
    assert " ".join(sorted(PUNCTUATION)) == "! ' '' , - -- -LCB- -LRB- -RCB- -RRB- . ... : ; ? ` ``"


captions = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join))


@settings(deadline=None, max_examples=200)
@given(st.lists(captions, max_size=4))
def test_any_captions_can_be_cut_and_each_stands_alone(texts: list[str]) -> None:
    together = tokenize(texts)
    assert together == [tokenize([text])[0] for text in texts]
    for tokens in together:
        assert "  " not in tokens
        assert tokens == tokens.strip(" ")
        assert not PUNCTUATION & set(tokens.split(" "))


@settings(deadline=None, max_examples=100)
@given(st.lists(captions, min_size=1, max_size=6))
def test_what_was_cut_before_changes_nothing(texts: list[str]) -> None:
    first = tokenize(texts)
    tokenize([" ".join(texts)])
    assert tokenize(texts) == first


@pytest.mark.parametrize("piece", ["%", "a.", "a@", "-", "'", "[", "A. ", "1 ", "<a ", '<a b="', "&amp", "www.", "中", "😀", "\xad", "x=.[^x=", "a,b-"])
def test_a_very_long_odd_caption_is_cut_in_no_time(piece: str) -> None:
    before = time.process_time()
    tokenize([piece * (10_000 // len(piece))])
    assert time.process_time() - before < 2.0


def test_the_tokenizer_needs_only_the_standard_library() -> None:
    code = (
        "import sys; from clipcap_cli.evaluation.metrics.tokenizer import tokenize; tokenize(['A dog.']);"
        "print([n for n in ('torch', 'numpy', 'pandas', 'transformers', 'regex') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    assert ended.stdout.strip() == "[]"


def _automaton(*patterns: str) -> Automaton:
    return Automaton([parse(pattern, {"vowel": parse("[aeiou]", {}, {})}, {"d": str.isdigit}) for pattern in patterns])


def test_the_longest_match_wins_and_then_the_first_pattern() -> None:
    machine = _automaton("a|ab", "a(b|c)*", "ab")
    assert machine.longest("abcx", 0, set())[:2] == (1, 3)
    assert machine.longest("abx", 0, set())[:2] == (0, 2)
    assert machine.longest("xa", 1, set())[:2] == (0, 2)


def test_a_match_tells_how_far_was_read() -> None:
    assert _automaton("a(bcd)?").longest("abcx", 0, set()) == (0, 1, 4)
    assert _automaton("a").longest("abcx", 0, set()) == (0, 1, 1)


@pytest.mark.parametrize(
    ("pattern", "matched", "not_matched"),
    [
        ("a{2,3}", ["aa", "AAa"], ["a", "aaaa"]),
        ("x?y+", ["y", "xyy"], ["x"]),
        (r"[^ab\d]\.", ["c.", "-."], ["a.", "1.", "c"]),
        ("[A-C-]{vowel}", ["Ba", "-u"], ["ba", "Bx"]),
        ("(is|k)", ["İS", "ıſ", "\u212a"], ["i"]),
    ],
)
def test_the_notation_of_patterns(pattern: str, matched: list[str], not_matched: list[str]) -> None:
    machine = _automaton(pattern)
    assert [text for text in [*matched, *not_matched] if len(text) in machine.ends(text, 0, len(text))] == matched


def test_a_pattern_can_be_read_backwards() -> None:
    machine = Automaton([backwards(parse("ab(c|de)", {}, {}))])
    assert machine.ends("xabde", 5, 0) == [1]


@pytest.mark.parametrize("pattern", ["(a", "a)"])
def test_a_pattern_that_is_not_well_formed_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="has a"):
        parse(pattern, {}, {})


def test_a_place_where_nothing_matches_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pattern matches 'b'"):
        Automaton([Node("one", characters="a", test="a".__eq__)]).longest("b", 0, set())
