"""One commit request until its outcome is known: tokens, attempts, and what each answer allows to say. The rules are
those above the service TransactionManager in thrift/assent.thrift."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._connection import Lost, NotSent
from ._leader import Backoff, Leader
from ._sessions import Session, Sessions
from ._wire import ttypes
from .errors import (Aborted, AbortReason, Error, HeuristicBranch, HeuristicKind, InvalidRequest, OutcomeUnknown,
                     TokenRefused, Unavailable, WrongCluster)
from .operations import Operation, OperationResult, results_of
from .tokens import Token, txn_text

_REFUSAL, _OUTCOME = ttypes.RefusalCode, ttypes.Outcome


@dataclass(frozen=True)
class CommitResult:
    """Of a transaction that is committed.

    results:  of Cluster.execute, one for each operation, in their order. Empty if `repeated`.
    repeated: it was found recorded, by an earlier send or because a shard was slow to answer: its results are lost.
              The effect came once.
    attempts: runs that the cluster may have begun; the last one is the one that committed.
    unfinished: branches that could not be committed on their own connections, and why: the coordinator commits them.
    heuristics: branches that are known to have ended otherwise, because somebody else decided.
    """

    txn: str
    token: Token
    results: tuple[OperationResult, ...] = ()
    repeated: bool = False
    attempts: int = 1
    unfinished: Mapping[str, str] = field(default_factory=dict, hash=False)
    heuristics: tuple[HeuristicBranch, ...] = ()


class TokenKind(enum.Enum):
    FRESH = 1  # drawn for this request alone, and replaced if it is too old
    GIVEN = 2  # the application's, surely never sent
    SENT_BEFORE = 3  # the application's, and perhaps sent earlier, in attempts that are not known here


class Next(enum.Enum):
    DONE = 1
    SEND_AGAIN = 2  # the same attempt, after a pause
    SEND_AT_ONCE = 3  # the same attempt, or a higher one that is known not to be the last
    NEXT_ATTEMPT = 4  # after a pause
    NEW_TOKEN = 5  # nothing was run under this one, and nothing will be


class Progress:
    """Decides after each send what may be told, without I/O: Aborted only where no send, of this process or an earlier
    one, can take effect any more; an attempt is raised only after ABORTED was answered for the one before."""

    def __init__(self, kind: TokenKind, attempts_max: int, operations: Sequence[Operation] = ()) -> None:
        self.attempt = 1
        self.age: ttypes.Age | None = None  # of the oldest attempt: its place in line
        self.end: CommitResult | Error | None = None  # after DONE, and on_deadline
        self.token: Token | None = None
        self._attempts_max, self._runs, self._operations = attempts_max, 1, operations
        self._sent_before = self.may_take_effect = kind is TokenKind.SENT_BEFORE
        self._renewable = kind is TokenKind.FRESH
        self._aborted: Aborted | None = None  # of the attempt before this one
        self._why = ""  # the last send brought nothing

    def on_not_sent(self, why: str) -> Next:
        self._why = why
        return Next.SEND_AGAIN

    def on_lost(self, why: str) -> Next:
        self._why = why
        self.may_take_effect = True
        return Next.SEND_AGAIN

    def on_refusal(self, code: int, detail: str) -> Next:
        self._why = detail
        if code == _REFUSAL.STALE_EPOCH:
            return Next.SEND_AT_ONCE
        if code in (_REFUSAL.NOT_SERVING, _REFUSAL.BUSY, _REFUSAL.OVERLOADED):
            return Next.SEND_AGAIN
        if code == _REFUSAL.TOKEN_EXPIRED and self._renewable and not self.may_take_effect:
            self._renewable = False  # idle for longer than outcomes are kept; a second time it is not about age
            return Next.NEW_TOKEN
        if code in (_REFUSAL.TOKEN_EXPIRED, _REFUSAL.TOKEN_MISMATCH):
            return self.refuse_for_good(TokenRefused(detail))
        if code == _REFUSAL.NO_SUCH_TXN:  # in answer to its first commit: nothing of it was, or will be, committed
            return self.refuse_for_good(Aborted(AbortReason.EXPIRED, detail))
        if code == _REFUSAL.INVALID:
            return self.refuse_for_good(InvalidRequest(detail))
        if code == _REFUSAL.WRONG_CLUSTER:
            return self.refuse_for_good(WrongCluster(detail))
        return self.on_lost(f"unknown refusal {code}: {detail}")

    def refuse_for_good(self, error: Error) -> Next:
        """Of this send. Another one may still have taken effect."""
        self.end = self._unknown(str(error), final=True) if self.may_take_effect else error
        return Next.DONE

    def on_ending(self, ending: ttypes.Ending) -> Next:
        detail = ending.detail or ""
        if ending.outcome == _OUTCOME.UNKNOWN:
            self.may_take_effect = True
            if ending.reason != ttypes.AbortReason.TOKEN_EXPIRED:
                return self.on_lost(detail)
            self.end = self._unknown(detail, final=True)
            return Next.DONE
        if ending.outcome == _OUTCOME.COMMITTED:
            assert self.token is not None
            self.end = CommitResult(txn_text(ending.txn), self.token, results_of(ending.results, self._operations),
                                    bool(ending.repeated), self.attempt, heuristics=_heuristics_of(ending))
            return Next.DONE
        if ending.age is not None and (self.age is None or ending.age.begin_us < self.age.begin_us):
            self.age = ending.age
        reason = AbortReason.of(ending.reason)
        if reason is AbortReason.REFUSED_ATTEMPT and self._sent_before:
            self.attempt += 1  # the earlier process may have sent the next one: that may yet commit. Ask for it
            return Next.SEND_AT_ONCE
        # This attempt and all before it are over, and a higher one was never sent.
        self._sent_before = self.may_take_effect = False
        self._aborted = Aborted(reason, detail, txn_text(ending.txn))
        if not reason.retryable or self._runs >= self._attempts_max:
            self.end = self._aborted
            return Next.DONE
        self._why = detail
        self._runs += 1
        self.attempt += 1
        return Next.NEXT_ATTEMPT

    def on_deadline(self) -> None:
        if self.may_take_effect:
            self.end = self._unknown(f"no answer before the deadline: {self._why}", final=False)
        elif self._aborted is not None:
            self.end = self._aborted  # and the next attempt was never sent, or every send of it was refused
        else:
            self.end = Unavailable(f"not sent, or refused, until the deadline: {self._why or 'it had passed before'}")

    def _unknown(self, detail: str, final: bool) -> OutcomeUnknown:
        assert self.token is not None
        return OutcomeUnknown(self.token, detail, final)


def _heuristics_of(ending: ttypes.Ending) -> tuple[HeuristicBranch, ...]:
    kinds = {kind.value: kind for kind in HeuristicKind}
    return tuple(HeuristicBranch(one.resource_manager, kinds.get(one.kind, HeuristicKind.UNSPECIFIED),
                                 one.evidence or "") for one in ending.heuristics or ())


class Commit:
    """A request under one token. Any thread may ask."""

    def __init__(self, leader: Leader, sessions: Sessions, method: str, make_request: Callable[..., Any],
                 operations: Sequence[Operation] = (), attempts_max: int = 1, kind: TokenKind = TokenKind.FRESH,
                 token: Token | None = None, session: Session | None = None) -> None:
        """`make_request(tag, age)` makes what `method` sends, always of the same content; it brings a result for each
        of `operations`. `session` of a given token, if it is one of ours."""
        self._leader, self._sessions, self._method, self._make = leader, sessions, method, make_request
        self._results, self._kind, self._session = len(operations), kind, session
        self._progress = Progress(kind, attempts_max, operations)
        self._progress.token = token
        self._lock = threading.Lock()
        self._sent: ttypes.CommitTag | None = None

    def ask(self, deadline: float) -> CommitResult:
        """Sends until the outcome is known. Raises Aborted, OutcomeUnknown (after which it may be called again),
        Unavailable, InvalidRequest, TokenRefused."""
        with self._lock:
            progress = self._progress
            if isinstance(progress.end, OutcomeUnknown) and not progress.end.final:
                progress.end = None
            try:
                if progress.end is None:
                    self._send_until(deadline)
            finally:  # also where it was interrupted
                self._note_end()
            assert progress.end is not None
            if isinstance(progress.end, Error):
                raise progress.end
            return progress.end

    @property
    def end(self) -> CommitResult | Error | None:
        return self._progress.end

    def _send_until(self, deadline: float) -> None:
        progress, backoff, began = self._progress, Backoff(), time.monotonic()
        while progress.end is None:
            if time.monotonic() >= deadline:
                return progress.on_deadline()
            step = self._send_once(deadline)
            now = time.monotonic()
            # One that is likely to end as late as the last, and behind the deadline, would make UNKNOWN of ABORTED.
            if step is Next.NEXT_ATTEMPT and now + (now - began) > deadline:
                return progress.on_deadline()
            if step in (Next.SEND_AGAIN, Next.NEXT_ATTEMPT):
                backoff.pause(deadline)
            if step is Next.NEXT_ATTEMPT:
                began = time.monotonic()
            if step is Next.NEW_TOKEN:
                self._sessions.leave(self._session)
                progress.token = self._session = None

    def _send_once(self, deadline: float) -> Next:
        progress = self._progress
        try:
            if progress.token is None:
                self._session, progress.token = self._sessions.draw(deadline)
            reply = self._leader.send(self._method, self._request, self._is_answer, deadline)
        except NotSent as error:
            return progress.on_not_sent(str(error))
        except Lost as error:
            return progress.on_lost(str(error))
        except Error as error:  # too large for a frame, or closed
            return progress.refuse_for_good(error)
        except BaseException:  # an interrupt, perhaps of a request that was sent
            progress.on_lost("interrupted")
            raise
        if reply.refusal is not None:
            return progress.on_refusal(reply.refusal.code, reply.refusal.detail or "")
        if self._session is not None:
            self._session.note_birth(reply.ending.birth_us)
        return progress.on_ending(reply.ending)

    def _request(self) -> Any:
        token = self._progress.token
        assert token is not None
        acked_below = self._session.sending(token) if self._session is not None else 0
        self._sent = ttypes.CommitTag(token=token.to_wire(), sent_to=self._leader.epoch, attempt=self._progress.attempt,
                                      acked_below=acked_below)
        return self._make(self._sent, self._progress.age)

    def _is_answer(self, reply: Any) -> bool:
        if self._sent is None or reply.token != self._sent.token or reply.attempt != self._sent.attempt:
            return False
        if reply.refusal is not None:
            return True
        ending = reply.ending
        if ending is None or ending.outcome not in (_OUTCOME.COMMITTED, _OUTCOME.ABORTED, _OUTCOME.UNKNOWN):
            return False
        return bool(ending.outcome != _OUTCOME.COMMITTED or ending.repeated
                    or len(ending.results or ()) == self._results)

    def _note_end(self) -> None:
        progress = self._progress
        if self._session is None or progress.token is None or self._kind is not TokenKind.FRESH:
            return
        if progress.end is None or isinstance(progress.end, OutcomeUnknown):
            self._sessions.leave(self._session)  # else it would hold up the acknowledgements of all tokens to come
        else:
            self._session.settle(progress.token)
