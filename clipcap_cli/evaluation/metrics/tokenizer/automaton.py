"""A longest-match machine: patterns go in, and for any place in a text the longest match of any of them comes out.

Python's own `re` takes the first alternative that fits and may backtrack for ages; a lexer wants the longest match and a bounded wait. The patterns become one
finite automaton whose states are worked out when a text first needs them, and a long walk that led nowhere is not made twice. Sources: Thompson, Regular
expression search algorithm (1968), for the construction; Reps, "Maximal munch" tokenization in linear time (1998), for remembering the walks that failed.

A pattern is written much like one of `re`: literals (either case), `[...]` and `[^...]` (exact case), `( )`, `|`, `*`, `+`, `?`, `{m,n}`, a backslash before
a special character, `{name}` for a pattern that was named before, and a backslash and a letter for a class of characters that the caller defines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

CharacterTest = Callable[[str], bool]

_OTHER_CASES = {"i": "\u0130\u0131", "k": "\u212a", "s": "\u017f"}  # dotted and dotless i, the kelvin sign, the long s
_WORTH_REMEMBERING = 32  # characters walked in vain


class Node(NamedTuple):
    """A parsed pattern.

    Attributes:
        kind: "one" (a character), "then" (parts one after the other), "either" (one of the parts) or "repeat" (its only part, some times).
        parts: the patterns it is made of.
        characters: of "one": how its characters are written, by which equal ones are known.
        test: of "one": whether a character is one of them.
        least: of "repeat": how often at least.
        most: of "repeat": how often at most; None for any number.
    """

    kind: str
    parts: tuple[Node, ...] = ()
    characters: str = ""
    test: CharacterTest = bool
    least: int = 0
    most: int | None = None


def parse(pattern: str, named: Mapping[str, Node], classes: Mapping[str, CharacterTest]) -> Node:
    """Parse a pattern.

    Args:
        pattern: in the notation above.
        named: the patterns that `{name}` may stand for.
        classes: what a backslash and a letter may stand for, by the letter.

    Returns:
        The tree of the pattern.

    Raises:
        ValueError: the pattern is not well-formed.
    """
    parser = _Parser(pattern, named, classes)
    tree = parser.either()
    if parser.place < len(pattern):
        raise ValueError(f"{pattern!r} has a {pattern[parser.place]!r} too much at {parser.place}")
    return tree


def backwards(node: Node) -> Node:
    """The pattern that matches the same texts read from their ends."""
    parts = reversed(node.parts) if node.kind == "then" else node.parts
    return node._replace(parts=tuple(backwards(part) for part in parts))


class _Parser:
    def __init__(self, pattern: str, named: Mapping[str, Node], classes: Mapping[str, CharacterTest]) -> None:
        self.pattern, self.named, self.classes = pattern, named, classes
        self.place = 0

    def either(self) -> Node:
        branches = [self._then()]
        while self._next_is("|"):
            branches.append(self._then())
        return branches[0] if len(branches) == 1 else Node("either", tuple(branches))

    def _then(self) -> Node:
        parts: list[Node] = []
        while self.place < len(self.pattern) and self.pattern[self.place] not in "|)":
            parts.append(self._repeated(self._atom()))
        return parts[0] if len(parts) == 1 else Node("then", tuple(parts))

    def _repeated(self, atom: Node) -> Node:
        if self._next_is("*"):
            return Node("repeat", (atom,))
        if self._next_is("+"):
            return Node("repeat", (atom,), least=1)
        if self._next_is("?"):
            return Node("repeat", (atom,), most=1)
        if self.pattern[self.place : self.place + 1] == "{" and self.pattern[self.place + 1].isdigit():
            self.place += 1
            least, _, most = self._up_to("}").partition(",")
            return Node("repeat", (atom,), least=int(least), most=int(most or least))
        return atom

    def _atom(self) -> Node:
        start = self.place
        if self._next_is("("):
            inner = self.either()
            if not self._next_is(")"):
                raise ValueError(f"{self.pattern!r} has an open parenthesis at {start}")
            return inner
        if self._next_is("{"):
            return self.named[self._up_to("}")]
        if self._next_is("["):
            test = self._class()
        elif self.pattern[start] == "\\":
            test = self._escaped()
        else:
            character = self._take()
            test = _one_of(character.lower() + character.upper() + _OTHER_CASES.get(character.lower(), ""))
        return Node("one", characters=self.pattern[start : self.place], test=test)

    def _class(self) -> CharacterTest:
        negative = self._next_is("^")
        tests: list[CharacterTest] = []
        single = ""
        while not self._next_is("]"):
            if self.pattern[self.place] == "\\":
                tests.append(self._escaped())
                continue
            low = self._take()
            if self.pattern[self.place] == "-" and self.pattern[self.place + 1] != "]":
                self.place += 1
                tests.append(_between(low, self._take()))
            else:
                single += low
        tests.append(_one_of(single))
        return lambda character: any(test(character) for test in tests) is not negative

    def _escaped(self) -> CharacterTest:
        self.place += 1
        character = self._take()
        return self.classes.get(character) or _one_of(character)

    def _next_is(self, character: str) -> bool:
        found = self.pattern.startswith(character, self.place)
        self.place += found
        return found

    def _take(self) -> str:
        self.place += 1
        return self.pattern[self.place - 1]

    def _up_to(self, end: str) -> str:
        start, self.place = self.place, self.pattern.index(end, self.place) + 1
        return self.pattern[start : self.place - 1]


def _one_of(characters: str) -> CharacterTest:
    return frozenset(characters).__contains__


def _between(low: str, high: str) -> CharacterTest:
    return lambda character: low <= character <= high


@dataclass(eq=False)
class _State:
    """A state of the automaton: what has been read so far leaves it at one of several places in the patterns.

    Attributes:
        moves: which places come next, each with the characters that lead there.
        accepts: the number of the first pattern that has been read to its end, or None.
        after: the states that have been worked out, by the character read; None where no pattern goes on.
        after_kind: the same by the kind of the character.
    """

    moves: list[tuple[int, int]]
    accepts: int | None
    after: dict[str, _State | None] = field(default_factory=dict)
    after_kind: dict[frozenset[int], _State | None] = field(default_factory=dict)


class Match(NamedTuple):
    """The longest match at a place.

    Attributes:
        pattern: its number, the first if several match as much.
        end: the place after it.
        read: the place after the last character that had to be looked at.
    """

    pattern: int
    end: int
    read: int


class Automaton:
    """Several patterns, matched at once."""

    def __init__(self, patterns: Sequence[Node]) -> None:
        self._tests: list[CharacterTest] = []
        self._numbers: dict[str, int] = {}  # of the tests, by how the characters are written
        self._kinds: dict[str, frozenset[int]] = {}  # which tests a character passes
        self._moves: list[tuple[int, int] | None] = []  # by place: the test to pass and the place behind it
        self._jumps: list[list[int]] = []  # by place: the places that are reached without reading
        self._ends: dict[int, int] = {}  # which pattern ends at a place
        self._states: dict[frozenset[int], _State] = {}
        entry = self._place()
        for number, pattern in enumerate(patterns):
            end = self._place()
            self._ends[end] = number
            self._jumps[entry].append(self._build(pattern, end))
        self.start = self._state([entry])

    def longest(self, text: str, start: int, dead_ends: set[tuple[int, int]]) -> Match:
        """The longest match that begins at `start`.

        Args:
            text: where to look.
            start: where the match begins.
            dead_ends: what earlier calls found out about the same text; begin with an empty set.

        Returns:
            The match.

        Raises:
            ValueError: nothing matches there.
        """
        state, place, size = self.start, start, len(text)
        pattern, end = -1, start
        walked: list[tuple[int, int]] = []
        while place < size and state.moves:
            character = text[place]
            place += 1
            following = state.after.get(character) or self.step(state, character)
            if following is None:
                break
            state = following
            if state.accepts is not None:
                pattern, end = state.accepts, place
                walked.clear()
            elif place - start > _WORTH_REMEMBERING:
                here = (id(state), place)
                if here in dead_ends:
                    place = size
                    break
                walked.append(here)
        if pattern < 0:
            raise ValueError(f"no pattern matches {text[start : start + 1]!r}")
        dead_ends.update(walked)
        return Match(pattern, end, place)

    def ends(self, text: str, start: int, stop: int) -> list[int]:
        """The places, in the order of reading, where a match that begins at `start` may end; if `stop` lies before `start`, the text is read backwards."""
        state: _State | None = self.start
        found: list[int] = []
        forward = start < stop
        for place in range(start, stop, 1 if forward else -1):
            if state is None:
                return found
            if state.accepts is not None:
                found.append(place)
            state = self.step(state, text[place if forward else place - 1])
        if state is not None and state.accepts is not None:
            found.append(stop)
        return found

    def step(self, state: _State, character: str) -> _State | None:
        """The state after one more character, or None if no pattern goes on."""
        if character in state.after:
            return state.after[character]
        kind = self._kinds.get(character)
        if kind is None:
            kind = self._kinds[character] = frozenset(number for number, test in enumerate(self._tests) if test(character))
        if kind not in state.after_kind:
            places = [place for test, place in state.moves if test in kind]
            state.after_kind[kind] = self._state(places) if places else None
        state.after[character] = after = state.after_kind[kind]
        return after

    def _state(self, places: Sequence[int]) -> _State:
        """The state for these places and all that are reached from them without reading."""
        seen, waiting = set(places), list(places)
        while waiting:
            for place in self._jumps[waiting.pop()]:
                if place not in seen:
                    seen.add(place)
                    waiting.append(place)
        reached = frozenset(place for place in seen if self._moves[place] or place in self._ends)
        if reached not in self._states:
            moves = [move for place in reached if (move := self._moves[place])]
            self._states[reached] = _State(moves, min((self._ends[place] for place in reached if place in self._ends), default=None))
        return self._states[reached]

    def _place(self, move: tuple[int, int] | None = None, *jumps: int) -> int:
        self._moves.append(move)
        self._jumps.append(list(jumps))
        return len(self._moves) - 1

    def _build(self, node: Node, then: int) -> int:
        """Add a pattern that goes on at the place `then`; returns the place where it begins."""
        if node.kind == "one":
            number = self._numbers.setdefault(node.characters, len(self._tests))
            if number == len(self._tests):
                self._tests.append(node.test)
            return self._place((number, then))
        if node.kind == "then":
            for part in reversed(node.parts):
                then = self._build(part, then)
            return then
        if node.kind == "either":
            return self._place(None, *[self._build(part, then) for part in node.parts])
        (part,) = node.parts
        if node.most is None:
            loop = self._place(None, then)
            self._jumps[loop].append(self._build(part, loop))
            then = loop
        else:
            for _ in range(node.most - node.least):
                then = self._place(None, then, self._build(part, then))
        for _ in range(node.least):
            then = self._build(part, then)
        return then
