"""The shapes of tokens in captions: words, numbers, abbreviations, addresses and marks, in the order in which they win.

Where several shapes fit, the one that covers most of the text wins, what it must stand before (`before`) counted in, and then the one that is named first.
Source: the behaviour of PTBTokenizer in Stanford CoreNLP 3.4.1, which the COCO caption evaluation uses; the notation is that of `automaton`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

from clipcap_cli.evaluation.metrics.tokenizer import spelling as spelled
from clipcap_cli.evaluation.metrics.tokenizer.automaton import CharacterTest, Node, parse


class Shape(NamedTuple):
    """A kind of token.

    Attributes:
        pattern: of the token itself.
        before: of what must follow it without belonging to it, or None.
        spelling: from the piece of the caption to the token.
    """

    pattern: Node
    before: Node | None
    spelling: Callable[[str], str]


def any_of(words: str) -> str:
    """The pattern of any of these words or patterns, which white space separates."""
    return "|".join(words.split())


# --- Characters -------------------------------------------------------------------------------------------------------------------------------------------

# Letters that came into Unicode after the reference was made; it drops them.
_LATER_LETTERS = (
    "037F 0528-052F 0560 0588 05EF 0860-086A 0870-088E 08A1 08AD-08C9 0978 0980 09FC 0AF9 0C34 0C5A-0C5D 0C80 0CDD 0D04 0D54-0D56 0D5F 0E86 0E89 0E8C "
    "0E8E-0E93 0E98 0EA0 0EA8-0EA9 0EAC 13F5-13FD 16F1-16F8 170D 171F 1878 191D-191E 19B0-19C0 19C8-19C9 1B4C 1C80-1CBF 1CF2-1CF3 1CFA 2C2F 2C5F 312E-312F "
    "31BB-31BF 4DB6-4DBF 9FCD-9FFF A698-A69D A78F A794-A79F A7AB-A7F7 A8FD-A8FE A9E0-A9EF A9FA-A9FE AA7E-AA7F AB30-ABBF"
)
_LATER_DIGITS = "0DE6-0DEF A9F0-A9F9"
_FORMER_LETTERS = "1885-1886"
# What else may stand in a word: soft hyphens, accents and vowel signs of many scripts.
_MARKS_IN_WORDS = (
    "00AD 02C2-02C5 02D2-02DF 02E5-02EB 02ED 02EF-036F 0375 0378-0379 0384-0385 03F6 0483-0487 055A-055F 0591-05BD 05BF 05C1-05C2 05C4-05C5 05C7 "
    "0615-061A 064B-065E 0670 06D6-06E4 06E7-06ED 06FD-06FE 070F 0711 0730-074C 07A6-07B0 07EB-07F3 0900-0903 093C 093E-094E 0951-0955 0962-0963 0981-0983 "
    "09BC 09BE-09C4 09C7-09C8 09CB-09CD 09D7 09E2-09E3 0A01-0A03 0A3C 0A3E-0A4F 0A81-0A83 0ABC 0ABE-0ACF 0B82 0BBE-0BC2 0BC6-0BC8 0BCA-0BCD 0C01-0C03 "
    "0C3E-0C56 0D3E-0D44 0D46-0D48 0E31 0E34-0E3A 0E47-0E4E 0EB1 0EB4-0EBC 0EC8-0ECD"
)


def _expand(ranges: str) -> frozenset[str]:
    """The characters of "00AD 02C2-02C5" and the like."""
    ends = [(low, high or low) for low, _, high in (part.partition("-") for part in ranges.split())]
    return frozenset(chr(code) for low, high in ends for code in range(int(low, 16), int(high, 16) + 1))


@cache
def _character_classes() -> dict[str, CharacterTest]:
    later, former = _expand(_LATER_LETTERS) | _expand(_LATER_DIGITS), _expand(_FORMER_LETTERS)
    return {
        "l": lambda character: (character.isalpha() and character not in later) or character in former,
        "d": lambda character: character.isdecimal() and character not in later,
        "m": _expand(_MARKS_IN_WORDS).__contains__,
    }


# --- Parts that several shapes share ----------------------------------------------------------------------------------------------------------------------

_PARTS = {
    "space": "[ \t\xa0\u2000-\u200a\u3000]",
    "gap": "[ \t\xa0\u2000-\u200a\u3000\n\x85]",
    "comma": "[,;:、]",
    "amp": "&amp;",
    "apostrophe": "['\x92’]|&apos;",
    "any_apostrophe": "{apostrophe}|[`\x91‘‛]",
    "hyphen": "[-_֊‐‑]",
    # Words
    "word_letter": r"\l|\m|&[aeiouAEIOU](acute|grave|uml);",
    "word": r"{word_letter}({word_letter}|\d)*([.!?]{word_letter}({word_letter}|\d)*)*",
    "ending": "{apostrophe}([msdMSD]|re|ve|ll)",
    "not": "n{any_apostrophe}t",
    "before_not": "[A-Za-z\xad]*[A-MO-Za-mo-z]\xad*",
    # Compounds: "d'Artagnan-style" or "Jean-l'Heureux", and "3.5-inch" or "anti-U.S."
    "compound_part": r"([dDoOlL]{any_apostrophe}(\l|\d))?(\l|\d)+",
    "compound": "{compound_part}({hyphen}{compound_part})*",
    "nations": r"(Canada|Sino|Korean|EU|Japan|non)-U\.S|U\.S\.-(U\.K|U\.S\.S\.R)",
    "initials": r"[A-Za-z](\.[A-Za-z])+|{nations}",
    "hyphenated": "[A-Za-z0-9][A-Za-z0-9.,\xad]*(-([A-Za-z0-9\xad]+|({initials})\\.))+",
    "joined": "[A-Z]+([+&][A-Z]+|{amp}[A-Z]+)+",
    # Numbers
    "number": "[-+]?(\\d+|\\d*([.:,\xad٫٬]\\d+)+)",
    # Tags: <!-- -->, <b>, <a href="x">, <br/>, </b>
    "tag_name": r"[A-Za-z][A-Za-z0-9_:.\-]*",
    "attribute": "{tag_name}( *= *('[^']*'|\"[^\"]*\"))?",
    "tag": "<([!?][A-Za-z\\-][^>\r\n]*|{tag_name}( +{attribute})* */?|/{tag_name}) *>",
    # Abbreviations; a capital in brackets must be one, for "la." may end a sentence, and "La." is a state.
    "abbreviation": any_of(
        """
        Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thurs Fri
        Ala Ariz [A]z [A]rk Calif Colo Conn Ct Dak [D]el Fla Ga [I]ll Ind Kans? Ky [L]a [M]ass Md Mich Minn [M]iss Mo Mont Neb Nev Okla [O]re [P]a Penn Tenn
        [T]ex Va Vt [W]ash Wisc? Wyo Inc Cos? Corp Pp?t[ye]s? Ltd Plc Rt Bancorp Bhd Assn Univ Intl Sys
        tel est ext sq Jr Sr Bros (Ed|Ph)\\.D Esq Blvd Rd etc al seq Bldg
        """
    ),
    "title": any_of(
        """
        Mr Mrs Ms [M]iss Drs? Profs? Sens? Reps? Attys? Lt Col Gen Messrs Govs? Adm Rev Maj Sgt Cpl Pvt Capt Ste? Ave Pres Lieut Hon Brig Co?mdr Pfc Spc Supts?
        Det Mt Ft Adj Adv Asst Assoc Ens Insp Mlle Mme Msgr Sfc Invt Elec Natl M[ft]g Dept vs [v] Alex Wm Jos Cie a\\.k\\.a cf TREAS Ph
        """
    ),
    "abbreviation_or_initials": "{title}|[A-Za-z]|{initials}",
    "number_word": any_of("ca figs? prop nos? art bldg pp op"),
    # Words that tell that a sentence begins, so that the period before was more than part of an abbreviation.
    "beginning": any_of(
        """
        [A]bout [A]ccording [A]dditionally [A]fter [A]n [A] [A]s [A]t [B]ut [E]arlier [H]e [H]er [H]ere [H]owever [I]f [I]n [I]t [L]ast [M]any [M]ore [M]r\\.
        [M]s\\. [N]ow [O]nce [O]ne [O]ther [O]ur [S]he [S]ince [S]o [S]ome [S]uch [T]hat [T]he [T]heir [T]hen [T]here [T]hese [T]hey [T]his [W]e [W]hen
        [W]hile [W]hat [Y]et [Y]ou {tag}
        """
    ),
    # Addresses. The reference leaves out everything from a comma to an underscore in the names of hosts, capitals and digits too.
    "url": '[^ \t\n\f\r"<>|(){}]+[^ \t\n\f\r"<>|.!?(){},\\-]',
    "host": '(www\\.([^ \t\n\f\r"<>|.!?(){},]+\\.)+[a-zA-Z]{2,4}|([^ \t\n\f\r"`\'<>|!?(){},-_$]+\\.)+(com|net|org|edu))',
    "path": '/[^ \t\n\f\r"<>|()]+[^ \t\n\f\r"<>|.!?(){},\\-]',
    "mail_name": '[a-zA-Z0-9][^ \t\n\f\r"<>|(){}\xa0]*',
    "mail_host": '[^ \t\n\f\r"<>|(){}.\xa0]+',
    "file_ending": any_of(
        """
        bat bmp c class cgi cpp dll doc docx exe gif gz h htm html jar java jpeg jpg mov mp3 pdf php pl png ppt ps py sql tar txt wav x xml zip
        """
    ),
    "quotes": "{apostrophe}|''|[`‘’‚‛“”\x91-\x94„‟‹›«»]{1,2}",
}


def _shapes(parsed: Callable[[str], Node]) -> Iterator[Shape]:
    def shape(pattern: str, spelling: Callable[[str], str] = spelled.as_it_stands, before: str | None = None) -> Shape:
        return Shape(parsed(pattern), None if before is None else parsed(before), spelling)

    # Words that are two
    yield shape("can", before="not")
    yield shape("'t", before="is|was")
    yield shape("gon|wan", before="na")
    yield shape("got", before="ta")
    yield shape("lem|gim", before="me")

    # Mark-up
    yield shape("{tag}", spelled.with_hard_spaces)
    yield shape("&(MD|mdash|ndash);|[\x96\x97–—―]", spelled.dash)
    yield shape("{amp}", spelled.with_ampersand)
    yield shape("&(HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+);")

    # Words, and what is cut off at an apostrophe
    yield shape("{word}", spelled.without_soft_hyphens, before="{ending}")
    yield shape("{before_not}", spelled.without_soft_hyphens, before="{not}")
    yield shape("{word}", spelled.without_soft_hyphens)
    yield shape("{apostrophe}(n{apostrophe}?|em|[2-9]0s|till?|cause)|[dDjJlL]{apostrophe}|(Dunkin|somethin|ol){apostrophe}|O{any_apostrophe}o")
    # Borrowings from French and Irish: all capitals but I and Y, for "I'll" and "y'all" are cut, and n for the end of "don'ts".
    yield shape(r"[A-HJ-XZn]{any_apostrophe}\l{2}\l*|\l\l*[aeiouyAEIOUY]{any_apostrophe}[aeiouA-Z]\l*")
    yield shape(r"cont'd\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l")
    yield shape("y{apostrophe}", before=r"\l")

    # Addresses and names of the net
    yield shape("https?://{url}|{host}({path})?")
    yield shape("(&lt;|<)?{mail_name}@({mail_host}\\.)*{mail_host}(&gt;|>)?")
    yield shape("@[a-zA-Z_][a-zA-Z_0-9]*|#({word_letter})+")

    yield shape("{ending}|{not}", spelled.closing_quote, before="[^A-Za-z]")

    # Numbers
    yield shape(r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}")
    yield shape("{number}", spelled.without_soft_hyphens)
    yield shape("[⁺⁻₊₋]?([⁰¹²³⁴-⁹]+|[₀-₉]+)")
    yield shape("(\\d{1,4}[- \xa0])?\\d{1,4}(\\\\?/|⁄)\\d{1,4}", spelled.with_hard_spaces)
    yield shape("[¼½¾⅓-⅞]", spelled.fraction)

    # Single words that the Penn Treebank, and the reference for it, treat as one
    yield shape("-(RRB|LRB|RCB|LCB|RSB|LSB)-|C\\.D\\.s|pro-|anti-|S(&|{amp})(P-500|Ls)|Cap{apostrophe}n|c{apostrophe}est", spelled.with_ampersand)
    yield shape(r"(c|f)#|c\+\+")
    # "and/or", "mother-in-law/aunt"
    yield shape(r"[A-Za-z0-9]+(-[A-Za-z]+){0,2}(\\?/[A-Za-z0-9]+(-[A-Za-z]+){0,2}){1,2}")
    yield shape(r"[A-Z]*\$|#")
    yield shape("[¢£¤¥\x80₠₤€؋฿￠￡￥￦]", spelled.currency)

    # Abbreviations. A letter that ends a sentence ("plan B. The dog") has no period of its own.
    yield shape("[A-Za-z]", before=r"\.{gap}+({beginning}){gap}")
    yield shape(r"({initials})\.", before="{gap}+({beginning}){gap}")
    # "fig. 3", but "a ripe fig."
    yield shape(r"({number_word})\.", before=r"{gap}?\d")
    yield shape(r"(pt[eyEY]|co)\.", before="{space}(ltd|lim)")
    yield shape(r"({abbreviation})\.", before="{anything}{anything}")
    yield shape(r"({abbreviation_or_initials})\.")
    yield shape("{abbreviation_or_initials}", before="{space}")
    yield shape("[A-Za-z]|{initials}", before="{gap}")
    # "the summer of '69"
    yield shape("{apostrophe}[0-9][0-9]", before="{gap}")
    yield shape(r"({word_letter}|\d)+(\.({word_letter}|\d)+)*\.({file_ending})", before="{gap}|[.?!,]")
    yield shape(r"{word}\.", spelled.without_soft_hyphens, before="{comma}")

    # "(020) 7946-0000", "+44 20 79460000", "555.123.4567"
    yield shape(
        "(\\([0-9]{2,3}\\)[ \xa0]?|(\\+\\+?)?([0-9]{2,4}[- \xa0])?[0-9]{2,4}[- \xa0])[0-9]{3,4}[- \xa0]?[0-9]{3,5}"
        "|((\\+\\+?)?[0-9]{2,4}\\.)?[0-9]{2,4}\\.[0-9]{3,4}\\.[0-9]{3,5}",
        spelled.phone_number,
    )

    # Marks
    yield shape('"|&quot;', spelled.opening_quote, before="[A-Za-z0-9$]")
    yield shape('"|&quot;', spelled.closing_quote)
    yield shape("\x7f|&nbsp;", spelled.nothing)
    yield shape("<|&lt;", spelled.less_than)
    yield shape(">|&gt;", spelled.greater_than)
    yield shape(r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]", spelled.with_round_brackets, before="[^A-Za-z0-9]")
    # The first is no smiley at all, but a slip in the reference.
    yield shape(r"[\^x=~<>]\.\[\^x=[^<]*<>\]|[-\^x=~<>']_[-\^x=~<>']|\([-\^x=~<>'][_.]?[-\^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)", spelled.with_round_brackets)
    yield shape(r"[(){}\[\]]", spelled.bracket)
    yield shape("-+", spelled.hyphens)
    yield shape("\\.{3,5}|[\x85…]|(\\.[ \xa0]){2,4}\\.", spelled.ellipsis)
    yield shape(r"@+|#+|_+|\*+|(\\\*){1,3}|[?!]+|{comma}|=|/")
    yield shape("[.¡¿\u037e։؟۔܀-܂ߺ。]")

    yield shape(r"{hyphenated}", spelled.without_soft_hyphens)
    yield shape(r"{hyphenated}\.", spelled.without_soft_hyphens, before="{comma}")
    yield shape(r"{compound}\.", before="{comma}")
    yield shape("{compound}")
    yield shape(r"{joined}\.", spelled.with_ampersand, before="{comma}")
    yield shape("{joined}", spelled.with_ampersand)

    yield shape("'", spelled.opening_quote, before="[A-Za-z][^ \t\n\r\xa0]")
    yield shape("{ending}|{not}|{quotes}", spelled.closing_quote)
    yield shape("<<|>>")
    yield shape("[+%&~\\^|\\\\¦§¨©¬®¯°-³´-º×÷\u0387־׀׃׆׳״؀-؃؆-؊،ؔ؛؞٪٭܃-܍߶-߸।॥๏᾽‖‗†-‣‰-‸※‾-⁂⁄⁺-⁾₊-₎℀-⅏←-⯿〒・！-／：-＠［-｀｛-･]")
    yield shape("\x00|{space}+|[\u200b\u200e\u200f\ufeff]", spelled.nothing)

    # Whatever the reference does not know, it drops.
    yield shape("{anything}", spelled.nothing)


@cache
def token_shapes() -> tuple[Shape, ...]:
    """All shapes, those first that win over later ones of the same length."""
    named: dict[str, Node] = {}
    parsed = partial(parse, named=named, classes=_character_classes())
    named["anything"] = parse("[^]", named, {})
    for name, pattern in _PARTS.items():
        named[name] = parsed(pattern)
    return tuple(_shapes(parsed))
