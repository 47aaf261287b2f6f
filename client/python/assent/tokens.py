"""Tokens: the name of one commit request, under which it takes effect at most once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ._wire import ttypes
from .errors import InvalidRequest

_COORDINATOR = 1 << 16  # a coordinator group's id on the wire: kind 1, times 65536, plus its number
_NUMBER_MAX = (1 << 63) - 1
_TEXT = re.compile(r"c([1-9][0-9]{0,4})/([1-9a-f][0-9a-f]{0,15})/([1-9][0-9]{0,18})/(0|[1-9a-f][0-9a-f]{0,15})")


@dataclass(frozen=True)
class Token:
    """As text, `str(token)`, it is what the program `assent` prints and takes with `--token`:
    "c1/100000001/17/64c0f3a1b2d4e". Keep all of it; who knows it can use the token up."""

    coordinator: int  # number of the coordinator group: 1 for c1
    client: int
    seq: int  # from 1
    birth_us: int  # a time of the group's own clock

    def __str__(self) -> str:
        return f"c{self.coordinator}/{self.client:x}/{self.seq}/{self.birth_us:x}"

    @classmethod
    def parse(cls, text: Token | str) -> Token:
        """Exactly what `str` gives. Raises InvalidRequest."""
        if isinstance(text, Token):
            return text
        match = _TEXT.fullmatch(text) if isinstance(text, str) else None
        if match is not None:
            token = cls(int(match[1]), int(match[2], 16), int(match[3]), int(match[4], 16))
            if token.coordinator < _COORDINATOR and max(token.client, token.seq, token.birth_us) <= _NUMBER_MAX:
                return token
        raise InvalidRequest(f"{text!r} is no token: give the whole text, like c1/100000001/17/64c0f3a1b2d4e")

    @property
    def group(self) -> int:
        """The coordinator group's id on the wire."""
        return _COORDINATOR + self.coordinator

    def to_wire(self) -> ttypes.Token:
        return ttypes.Token(group=self.group, client=self.client, seq=self.seq, birth_us=self.birth_us)


def coordinator_group(text: str) -> int:
    """The id on the wire of "c1". Raises InvalidRequest."""
    match = re.fullmatch(r"c([1-9][0-9]{0,4})", text)
    if match is None or int(match[1]) >= _COORDINATOR:
        raise InvalidRequest(f"{text!r} is no coordinator group: give one like c1")
    return _COORDINATOR + int(match[1])


def group_text(group: int) -> str:
    return f"{'c' if group >> 16 == 1 else 's'}{group & 0xFFFF}"


def txn_text(txn: ttypes.TxnId | None) -> str:
    """"c1.4.93e4": coordinator group, epoch, sequence in hexadecimal. Empty where it is not known."""
    return f"{group_text(txn.group)}.{txn.epoch}.{txn.seq:x}" if txn is not None and txn.seq else ""
