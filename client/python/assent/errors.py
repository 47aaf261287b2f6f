"""What the package raises. Each message says what happened and, where there is something, what to do.

    Error
      InvalidRequest    the request itself is wrong: nothing was done, change it
      Unavailable       nobody could do it before the deadline: nothing was done, try later
      WrongCluster      the nodes belong to another cluster: nothing was done
      TokenRefused      the token was used for something else, or is too old: nothing was done
      Aborted           surely without effect, now and for ever
      OutcomeUnknown    committed or aborted: ask later, under its token
      Heuristic         committed, but somebody else has ended a part of it otherwise

    UnfinishedWarning   a warning: committed, and a database has not committed its part yet
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._commit import CommitResult
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

    def __init__(self, reason: AbortReason, detail: str = "", txn: str = "", retryable: bool | None = None) -> None:
        text = "aborted" + (f" {txn}" if txn else "")
        text += f": {reason}" if reason is not AbortReason.UNSPECIFIED else ""
        super().__init__(text + (f": {detail}" if detail else ""))
        self.reason = reason
        self.detail = detail
        self.txn = txn
        self._retryable = retryable

    @property
    def retryable(self) -> bool:
        return self.reason.retryable if self._retryable is None else self._retryable


class OutcomeUnknown(Error):
    """Committed or aborted, and it is not known which: no answer came before the deadline.

    token: names the request. `Cluster.outcome(token)` asks again, as often as it takes.
    final: asking brings nothing any more: the cluster has forgotten the token, or has it for another request.

    Branches at databases are left prepared: nobody may end them before the outcome is known. The cluster does.
    """

    def __init__(self, token: Token, detail: str = "", final: bool = False) -> None:
        advice = ("asking again brings nothing: look at the data" if final
                  else f"ask later with cluster.outcome({str(token)!r})")
        super().__init__(f"outcome unknown: {detail}; {advice}" if detail else f"outcome unknown; {advice}")
        self.token = token
        self.detail = detail
        self.final = final


class HeuristicKind(enum.Enum):
    """With XA's numbers, as in thrift/assent.thrift."""

    UNSPECIFIED = 0
    MIX = 5  # parts of it were committed, parts rolled back
    ROLLED_BACK = 6
    COMMITTED = 7
    HAZARD = 8  # it may have gone another way; nobody can tell

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class HeuristicBranch:
    """A branch that did not end as its transaction did, because somebody else decided: a person, or a job that clears
    away prepared transactions."""

    resource_manager: str
    kind: HeuristicKind
    evidence: str  # for people


class Heuristic(Error):
    """The transaction is committed, but not everywhere: `result.heuristics` says where not. Running it again would do
    the rest twice: see `assent txn list --state heuristic`, and mend the data."""

    def __init__(self, result: CommitResult) -> None:
        parts = "; ".join(f"{one.resource_manager}: {one.kind}, {one.evidence}" for one in result.heuristics)
        super().__init__(f"committed {result.txn}, but not as a whole: {parts}. Do not run it again; mend the data")
        self.result = result


class UnfinishedWarning(UserWarning):
    """The transaction is committed, and a branch of it could not be committed on its own connection: the coordinator
    does. Until then what it changed is not seen, and stays locked. `CommitResult.unfinished` says which, and why."""
