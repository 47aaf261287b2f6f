"""What the package raises. Each message says what happened and, where there is something, what to do.

    Error
      InvalidRequest    the request itself is wrong: nothing was done, change it
      Unavailable       nobody could do it before the deadline: nothing was done, try later
      WrongCluster      the nodes belong to another cluster: nothing was done
      TokenRefused      the token was used for something else, or is too old: nothing was done
      Aborted           surely without effect, now and for ever
      OutcomeUnknown    committed or aborted: ask later, under its token
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .tokens import Token


class AbortReason(enum.Enum):
    """Why a transaction was aborted: the numbers of `AbortReason` in thrift/assent.thrift."""

    UNSPECIFIED = 0
    CHECK_FAILED = 1
    BELOW_FLOOR = 2
    NOT_A_NUMBER = 3
    WOUNDED = 4
    LOCK_TIMEOUT = 5
    BRANCH_LOST = 6
    VOTE_TIMEOUT = 7
    EXPIRED = 8
    ROLLED_BACK = 9
    FOREIGN_REFUSED = 10
    TOO_LARGE = 11
    BELOW_MARK = 12
    REFUSED_ATTEMPT = 13
    OVERLOADED = 14

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")

    @property
    def retryable(self) -> bool:
        """Whether the same transaction may well succeed if it is simply run again."""
        return self in _TRANSIENT

    @classmethod
    def of(cls, number: int | None) -> AbortReason:
        """UNSPECIFIED for one that this version does not know."""
        return cls._value2member_map_.get(number, cls.UNSPECIFIED)  # type: ignore[return-value]


_TRANSIENT = frozenset({AbortReason.WOUNDED, AbortReason.LOCK_TIMEOUT, AbortReason.BRANCH_LOST,
                        AbortReason.VOTE_TIMEOUT, AbortReason.EXPIRED, AbortReason.BELOW_MARK,
                        AbortReason.REFUSED_ATTEMPT, AbortReason.OVERLOADED})


class Error(Exception):
    """Whatever this package raises."""


class InvalidRequest(Error):
    """The request is wrong, and would be the next time. Nothing was done; an interactive transaction that
    met this is rolled back, unless the request was refused before it left this process."""


class Unavailable(Error):
    """No node could take the request until the deadline, or nobody listens. Nothing was done."""


class WrongCluster(Error):
    """The nodes reached belong to another cluster than the one asked for. Nothing was done."""


class TokenRefused(Error):
    """The token was used for another request, or is older than outcomes are kept for. Nothing was done by
    this call."""


class Aborted(Error):
    """The transaction had no effect and never will.

    reason:    why, an AbortReason
    retryable: whether running it again may well succeed; `Cluster.execute` and `Cluster.run` did so already
    detail:    the cluster's words
    """

    def __init__(self, reason: AbortReason, detail: str = "", txn: str = "") -> None:
        text = "aborted" + (f" {txn}" if txn else "")
        text += f": {reason}" if reason is not AbortReason.UNSPECIFIED else ""
        super().__init__(text + (f": {detail}" if detail else ""))
        self.reason = reason
        self.detail = detail
        self.txn = txn

    @property
    def retryable(self) -> bool:
        return self.reason.retryable


class OutcomeUnknown(Error):
    """Committed or aborted, and it is not known which: no answer came before the deadline.

    token: names the request. `Cluster.outcome(token)` asks again, as often as it takes.
    final: asking brings nothing any more: the cluster has forgotten the token, or has it for another request.
    """

    def __init__(self, token: Token, detail: str = "", final: bool = False) -> None:
        advice = ("asking again brings nothing: look at the data" if final
                  else f"ask later with cluster.outcome({str(token)!r})")
        super().__init__(f"outcome unknown: {detail}; {advice}" if detail else f"outcome unknown; {advice}")
        self.token = token
        self.detail = detail
        self.final = final
