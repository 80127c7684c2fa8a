"""What differs between the lock of a run and another lock: what was then, what is now, and whether something else comes out for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clipcap_cli.training.lock import Lock

# Of each part of a lock, the facts that are compared; names and places of what is the same by content are not.
_ENCODER = ("fingerprint", "precision", "rows", "rows_sha256")
_SPLIT = ("pictures", "captions", "sha256")
_SHOWN_DIGITS = 12  # of a hash


@dataclass(frozen=True)
class Difference:
    """One fact that differs.

    Attributes:
        what: its name, for people: "captions of train", "torch".
        then, now: "none" where there was, or is, nothing of the kind.
        decides: something else comes out for it; otherwise the last digits may.
    """

    what: str
    then: str
    now: str
    decides: bool

    def __str__(self) -> str:
        return f"{self.what} ({self.then} then, {self.now} now)"


def differences(then: Lock, now: Lock) -> list[Difference]:
    """What differs, the decisive facts first."""
    deciding = [_facts(lock) for lock in (then, now)]
    digits = [{**lock.packages, **lock.machine, **_code(lock)} for lock in (then, now)]
    return [*_compared(*deciding, decides=True), *_compared(*digits, decides=False)]


def decisive(found: Iterable[Difference]) -> list[Difference]:
    """Those for which something else comes out."""
    return [difference for difference in found if difference.decides]


def told(found: Iterable[Difference]) -> str:
    """All in one line."""
    return "; ".join(map(str, found))


def _facts(lock: Lock) -> dict[str, Any]:
    """What decides what comes out, by names for people."""
    facts: dict[str, Any] = {}
    for split, of in lock.data.items():
        if isinstance(of, Mapping):
            facts |= {f"{name} of {split}": of[name] for name in _SPLIT if name in of}
    facts |= {f"encoder's {name}": lock.encoder[name] for name in _ENCODER if name in lock.encoder}
    start = lock.start
    facts |= {"language model's weights": start.get("weights"), "its tokenizer": start.get("tokenizer"), "init": (start.get("init") or {}).get("sha256")}
    return facts


def _code(lock: Lock) -> dict[str, Any]:
    state = lock.git.get("clipcap")
    return {"clipcap's commit": f"{state['commit']}{' and changes' if state.get('changed') else ''}"} if state else {}


def _compared(then: Mapping[str, Any], now: Mapping[str, Any], *, decides: bool) -> Iterator[Difference]:
    for name in dict.fromkeys((*then, *now)):
        if then.get(name) != now.get(name):
            yield Difference(name, _shown(then.get(name)), _shown(now.get(name)), decides)


def _shown(value: Any) -> str:
    text = "none" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    is_hash = len(text) >= 40 and all(letter in "0123456789abcdef" for letter in text[:40])
    return text[:_SHOWN_DIGITS] + "…" + text[64 if len(text) >= 64 and is_hash else 40 :] if is_hash else text
