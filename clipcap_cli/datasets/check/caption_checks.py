"""What is wrong with single captions, or with their style as a whole."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

from clipcap_cli.datasets.check import remedies
from clipcap_cli.datasets.check.findings import Finding, shown
from clipcap_cli.datasets.check.material import Caption, Check, Material
from clipcap_cli.datasets.check.mending import without_entities, without_mojibake, without_stray_space
from clipcap_cli.datasets.check.scripts import WITHOUT_BLANKS, script_of
from clipcap_cli.datasets.records import Severity
from clipcap_cli.words import count

# Captions of the usual sets have 10 to 20 words; 60 are more than the 40 to 77 tokens that captioners and CLIP's text encoder take.
_MANY_WORDS = 60

# Fewer are chance.
_MANY_CAPTIONS = 5
_MUCH = 0.01  # of all captions

# A caption that is true of so many pictures says little of each. By chance, "A dog runs through the grass" is said of 7 of the 7,000 pictures of Flickr8k.
_MANY_PICTURES = 10

# None of the 35,000 captions of Flickr8k says its first six words again, six say their first five; of the 2,007 about food 575 do, titles that were put twice.
_SAME_WORDS = 6

_SAME_SCRIPT = 0.8  # of the captions; below, a dataset is in several scripts, and none is the odd one out
_FEW_LETTERS = 8  # below, capitals are an abbreviation: "BMW X5"

_END_MARKS = ".!?…。！？।؟"
_CLOSING = "\"'”’»)]」』"

# A tag of HTML, a link of Markdown, an address.
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]{0,200}>|\[[^\[\]]+\]\([^()\s]*[/.#][^()\s]*\)|\b(?:https?://|www\.)\S+", re.IGNORECASE)
_HASHTAG = re.compile(r"(?:^|\s)[#@](?=\w*[^\W\d_])\w{2,}")
_PICTURE_NAME = re.compile(r"\S+\.(?:jpe?g|png|gif|bmp|webp|tiff?|heic|avif)", re.IGNORECASE)
_CAMERA_NAME = re.compile(r"(?:img|dsc[nf]?|pxl|dcim|p|image|screenshot|photo)[-_ ]?\d[-\d_ ]{2,}", re.IGNORECASE)
_LEADING = re.compile(
    r"(?:(?:this|here|it) is |it's )?(?:an? |the |this )?(?:close[- ]?up )?(?:photo|photograph|picture|image|pic|snapshot)"
    r"(?: of| shows| showing| depicts| depicting| features| contains| that shows)\b"
    r"|(?:in|on) (?:this|the) (?:photo|photograph|picture|image)\b",
    re.IGNORECASE,
)
# The sign of a character that could not be decoded, control characters, and those to which no one has given a meaning.
_LOST = re.compile("[\ufffd\x00-\x08\x0e-\x1f\x7f-\x9f\ue000-\uf8ff]")


def over_long(material: Material) -> Finding | None:
    """Captions that are longer than those that will be written."""
    if material.tokens is not None and material.max_tokens is not None:
        hits, longest = _longer(material, material.tokens, material.max_tokens)
        limit = f"{material.max_tokens} tokens"
        what = f"of more than {limit} (the longest has {longest:,}): a captioner that may write {limit} breaks off where they go on"
    else:
        hits, longest = _longer(material, {caption: len(caption.split()) for _, caption in material.captions}, _MANY_WORDS)
        what = f"of more than {_MANY_WORDS} words (the longest has {longest:,}), which is more than captioners write"
    return _finding(material, "long-caption", hits, what, by_hand="Shorten them")


def _longer(material: Material, lengths: Mapping[str, int], limit: int) -> tuple[list[Caption], int]:
    """The captions beyond a limit, the longest first, and the greatest length."""
    hits = [hit for hit in material.captions if lengths[hit[1]] > limit]
    return sorted(hits, key=lambda hit: -lengths[hit[1]]), max(lengths.values(), default=0)


def one_word(material: Material) -> Finding | None:
    """Labels instead of captions."""
    hits = [hit for hit in material.captions if " " not in hit[1] and script_of(hit[1]) not in WITHOUT_BLANKS]
    return _finding(material, "one-word-caption", hits, "of a single word", by_hand="Write more")


def no_end_mark(material: Material) -> Finding | None:
    """Captions without a full stop where others have one: how they end is then learned as chance."""
    hits = [hit for hit in material.captions if not hit[1].rstrip(_CLOSING + " ").endswith(tuple(_END_MARKS))]
    with_mark = len(material.captions) - len(hits)
    if not with_mark:
        return None
    severity: Severity = "warning" if min(len(hits), with_mark) >= _MUCH * len(material.captions) else "info"
    what = f"without an end mark ({len(hits) / len(material.captions):.0%}), and {with_mark:,} with one: whether to end with one is learned as chance"
    return _finding(material, "no-end-mark", hits, what, remedy=f"Give all of them one, or none: {remedies.edit(material.name)}", severity=severity)


def repeated(material: Material) -> Finding | None:
    """Captions that tell nothing of their own pictures, since they are those of many."""
    pictures: defaultdict[str, set[str]] = defaultdict(set)
    for picture, caption in material.captions:
        pictures[_plain(caption)].add(picture.image_id)
    many = {text for text, ids in pictures.items() if len(ids) >= _MANY_PICTURES}
    hits = [hit for hit in material.captions if _plain(hit[1]) in many]
    severity: Severity = "warning" if len(hits) >= _MUCH * len(material.captions) else "info"
    most = sorted(many, key=lambda text: (-len(pictures[text]), text))
    examples = [f"{text!r} of {count(len(pictures[text]), 'picture')}" for text in most]
    what = f"shared word for word by {_MANY_PICTURES} pictures and more: they teach to say the same of everything"
    return _finding(material, "repeated-caption", hits, what, by_hand="Tell the pictures apart", severity=severity, examples=examples)


def file_name(material: Material) -> Finding | None:
    """Names of files where captions should be."""
    hits = [(picture, caption) for picture, caption in material.captions if _is_file_name(caption, picture.name)]
    return _finding(material, "file-name-caption", hits, "with the name of a file in place of words", by_hand="Write captions")


def _is_file_name(caption: str, name: str) -> bool:
    if _PICTURE_NAME.fullmatch(caption) or _CAMERA_NAME.fullmatch(caption):
        return True
    # "pizza.jpg" may well be captioned "pizza"; "0132_a.jpg" is not.
    return " " not in caption and not caption.isalpha() and caption in (PurePosixPath(name).stem, PurePosixPath(name).name)


def mojibake(material: Material) -> Finding | None:
    """UTF-8 that was read as another encoding."""
    return _mendable(material, "mojibake", without_mojibake, "whose letters were read in the wrong encoding, as in 'cafÃ©'")


def entities(material: Material) -> Finding | None:
    """HTML entities."""
    return _mendable(material, "html-entity", without_entities, "with characters as HTML writes them, as in 'salt &amp; pepper'")


def stray_space(material: Material) -> Finding | None:
    """White space, or what cannot be seen."""
    return _mendable(material, "stray-space", without_stray_space, "with runs of blanks or invisible characters")


def _mendable(material: Material, kind: str, mend: Callable[[str], str], what: str) -> Finding | None:
    hits = [hit for hit in material.captions if mend(hit[1]) != hit[1]]
    examples = [f"{picture.name}: {_difference(caption, mend(caption))}" for picture, caption in hits]
    return _finding(material, kind, hits, what, remedy=remedies.fix(material.name), examples=examples)


def _difference(before: str, after: str) -> str:
    """The words that differ, if there are as many before as after; else the whole texts."""
    words = before.split(" "), after.split(" ")
    changed = [pair for pair in zip(*words, strict=False) if pair[0] != pair[1]] if len(words[0]) == len(words[1]) else [(before, after)]
    return ", ".join(f"{one!r} -> {other!r}" for one, other in changed)


def lost_characters(material: Material) -> Finding | None:
    """Captions of which something was lost before they came here."""
    what = "with characters that mean nothing: what stood there was lost when they were written"
    return _matching(material, "lost-characters", _LOST, what, "Correct them")


def markup(material: Material) -> Finding | None:
    """What a browser would not show as text."""
    return _matching(material, "markup", _MARKUP, "with HTML tags, links or addresses", "Take them out")


def hashtags(material: Material) -> Finding | None:
    """What is said to a network of people, not of a picture."""
    return _matching(material, "hashtag", _HASHTAG, "with #hashtags or @names", "Take them out")


def _matching(material: Material, kind: str, pattern: re.Pattern[str], what: str, by_hand: str) -> Finding | None:
    hits = [hit for hit in material.captions if pattern.search(hit[1])]
    examples = [f"{picture.name}: {', '.join(repr(match[0].strip()) for match in pattern.finditer(caption))}" for picture, caption in hits]
    return _finding(material, kind, hits, what, by_hand=by_hand, examples=examples)


def other_script(material: Material) -> Finding | None:
    """Captions that are most likely in another language than most."""
    scripts = {caption: script_of(caption) for _, caption in material.captions}
    counts = Counter(script for _, caption in material.captions if (script := scripts[caption]))
    if len(counts) < 2:
        return None
    (main, most), *others = counts.most_common()
    hits = [hit for hit in material.captions if scripts[hit[1]] not in (main, None)]
    told = ", ".join(f"{script} {number:,}" for script, number in others)
    severity: Severity = "warning" if most >= _SAME_SCRIPT * counts.total() else "info"
    what = f"in another script than most, which is {main} ({told})"
    return _finding(material, "other-script", hits, what, by_hand="Translate them", severity=severity)


def leading_phrase(material: Material) -> Finding | None:
    """Words that every caption may begin with, and that say nothing."""
    found = [(hit, match[0].lower()) for hit in material.captions if (match := _LEADING.match(hit[1]))]
    if len(found) < max(_MANY_CAPTIONS, _MUCH * len(material.captions)):
        return None
    phrase, often = Counter(phrase for _, phrase in found).most_common(1)[0]
    share = len(found) / len(material.captions)
    what = f"({share:.0%} of all) beginning with words such as {phrase!r} ({often:,} times), which say nothing of the picture"
    remedy = f"Take the words out: {remedies.edit(material.name)}"
    return _finding(material, "leading-phrase", [hit for hit, _ in found], what, remedy=remedy)


def shouting(material: Material) -> Finding | None:
    """Captions in capitals."""
    hits = [hit for hit in material.captions if hit[1].isupper() and " " in hit[1] and sum(map(str.isalpha, hit[1])) >= _FEW_LETTERS]
    what = "in capitals, which language models know less well and split into more tokens"
    return _finding(material, "capitals", hits, what, by_hand="Write them as usual")


def cut_off(material: Material) -> Finding | None:
    """Captions that a table or a page has cut."""
    hits = [hit for hit in material.captions if hit[1].rstrip(_CLOSING).endswith(("...", "…", ". . ."))]
    return _finding(material, "cut-off-caption", hits, "broken off with an ellipsis", by_hand="Complete them")


def repeats_itself(material: Material) -> Finding | None:
    """Captions that begin anew, as where a title and a text that begins with it were put together."""
    hits = [hit for hit in material.captions if _begins_anew(hit[1])]
    if len(hits) < _MANY_CAPTIONS:
        return None
    return _finding(material, "repeats-itself", hits, f"with their first {_SAME_WORDS} words once more further on", by_hand="Say it once")


def _begins_anew(caption: str) -> bool:
    words = caption.casefold().split()
    return len(words) >= 2 * _SAME_WORDS and f" {' '.join(words[:_SAME_WORDS])}" in " ".join(words[_SAME_WORDS - 1 :])


def said_twice(material: Material) -> Finding | None:
    """The same caption more than once for one picture: it counts as often."""
    hits: list[Caption] = []
    for picture in material.pictures:
        for caption, times in Counter(picture.captions).items():
            hits += [(picture, caption)] * (times - 1)
    return _finding(material, "said-twice", hits, "that their picture has already", remedy=remedies.fix(material.name))


def _plain(caption: str) -> str:
    return caption.casefold().rstrip(_END_MARKS + " ")


def _finding(
    material: Material,
    kind: str,
    hits: Sequence[Caption],
    what: str,
    *,
    by_hand: str = "",
    remedy: str = "",
    severity: Severity = "warning",
    examples: Sequence[str] = (),
) -> Finding | None:
    """A finding about captions, if there are any. `by_hand` is what mends it by hand, where leaving them out is the other way."""
    if not hits:
        return None
    captions = tuple((picture.name, caption) for picture, caption in hits)
    return Finding(
        kind=kind,
        severity=severity,
        count=len(hits),
        message=f"{count(len(hits), 'caption')} {what}",
        examples=shown(examples or (f"{name}: {caption}" for name, caption in captions)),
        remedy=remedy or remedies.by_hand(material.name, kind, by_hand),
        pictures=tuple(dict.fromkeys(name for name, _ in captions)),
        captions=captions,
    )


CHECKS: tuple[Check, ...] = (
    *(over_long, one_word, no_end_mark, repeated, file_name, mojibake, entities, stray_space, lost_characters),
    *(other_script, markup, hashtags, leading_phrase, shouting, cut_off, repeats_itself, said_twice),
)
