"""Connecting, and what an application does with a cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, TypeVar

from . import operations as op
from ._commit import Commit, CommitResult, TokenKind
from ._connection import NotSent
from ._leader import Backoff, Leader
from ._sessions import Sessions
from ._two_phase import CommitWithBranches
from ._wire import ttypes
from .errors import Aborted, InvalidRequest, OutcomeUnknown, Unavailable
from .operations import Bytes, Operation, OperationResult, Row
from .tokens import Token, coordinator_group, group_text
from .transaction import Transaction, begin

OPEN_QUESTIONS_MAX = 1024  # requests whose outcome is unknown, kept to be asked about; the oldest goes first

T = TypeVar("T")


def connect(addresses: str | Iterable[str], *, timeout: float = 30.0, attempts: int = 16, cluster: str = "",
            coordinator: str | None = None) -> Cluster:
    """Reaches one of `addresses` ("host:port,host:port", or several strings; one is enough, the others are for when it
    is down) and the leader of a coordinator group, which is waited for while some node accepts connections: a group
    that fails over has none for some seconds.

    timeout:     seconds, of each call with all its sends
    attempts:    runs of a transaction that is aborted for a reason that passes
    cluster:     refuse the nodes of any other; empty: that of the first node reached
    coordinator: the group to use, like "c1"; None: the first that has a leader

    Raises Unavailable, at once if nobody listens at any address, with the reason of each; WrongCluster;
    InvalidRequest, for an address that is none."""
    if isinstance(addresses, str):
        addresses = addresses.split(",")
    if timeout <= 0 or attempts < 1:
        raise InvalidRequest("timeout must be above 0 seconds, and attempts at least 1")
    group = coordinator_group(coordinator) if coordinator is not None else 0
    leader = Leader([address.strip() for address in addresses], cluster, group)
    leader.await_leader(time.monotonic() + timeout)
    return Cluster(leader, timeout, attempts)


class Cluster:
    """From `connect`. Any number of threads: each call has a connection of a pool for itself, so calls of two threads
    never wait for each other here. After a fork, connect again.

    A call that gets no answer is sent again under the same token, to whoever leads by then, until `timeout`: it takes
    effect at most once. Where it stays unknown whether it did, it raises OutcomeUnknown(token)."""

    def __init__(self, leader: Leader, timeout: float, attempts: int) -> None:
        self._leader, self._sessions = leader, Sessions(leader)
        self._timeout, self._attempts = timeout, attempts
        self._lock = threading.Lock()
        self._questions: dict[Token, Commit | CommitWithBranches] = {}

    @property
    def id(self) -> str:
        """As the cluster names itself."""
        return self._leader.cluster

    def close(self) -> None:
        self._leader.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    # ---- Whole transactions, in one round trip

    def execute(self, operations: Iterable[Operation], token: Token | str | None = None) -> CommitResult:
        """All of `operations` or none. Aborts that pass are tried again, keeping the transaction's place in line.

        `token`, from `new_token`, or printed by an earlier run or the program `assent`: the same operations with the
        same token, as often as it takes, have one effect and one outcome.

        Raises Aborted, OutcomeUnknown, Unavailable, InvalidRequest, TokenRefused."""
        operations = op.checked(operations)
        wire = [operation.to_wire() for operation in operations]
        kind, session = TokenKind.FRESH, None
        if token is not None:
            token = self._own(token)
            session = self._sessions.session_of(token)
            unsent = session is not None and session.surely_unsent(token)
            kind = TokenKind.GIVEN if unsent else TokenKind.SENT_BEFORE
        leader = self._leader

        def make_request(tag: ttypes.CommitTag, age: Any) -> ttypes.ExecuteRequest:
            return ttypes.ExecuteRequest(cluster=leader.cluster, group=leader.group, tag=tag, operations=wire,
                                         foreign=[], retry_of=age)

        return self._ask(Commit(leader, self._sessions, "execute", make_request, operations, self._attempts,
                                kind, token, session))

    def get(self, key: Bytes) -> Row | None:
        """None: no such key. Raises as execute."""
        return self._read(op.get(key)).row

    def scan(self, prefix: Bytes, limit: int | None = None) -> list[Row]:
        """The first `limit` rows whose keys start with `prefix`, or all of them, in order. Rows that do not fit one
        answer are read by an interactive transaction, so that all are of one moment: writers of these keys wait
        meanwhile. Raises as execute."""
        first = self._read(op.scan(prefix, None if limit is None else min(limit, op.SCAN_ROWS_MAX)))
        if not first.truncated or (limit is not None and len(first.rows) >= limit):
            return list(first.rows)
        return self.run(lambda tx: tx.scan(prefix, limit))

    def put(self, key: Bytes, value: Bytes) -> CommitResult:
        """Raises as execute."""
        return self.execute([op.put(key, value)])

    def delete(self, key: Bytes) -> CommitResult:
        """Raises as execute."""
        return self.execute([op.delete(key)])

    def add(self, key: Bytes, delta: int, min: int | None = None) -> int | None:
        """The sum; None where the first answer was lost and the sum with it: it was added, once. As `assent.add`.
        Raises as execute."""
        results = self.execute([op.add(key, delta, min)]).results
        return results[0].number if results else None

    # ---- Interactive

    def transaction(self, retry_of: Transaction | None = None, *, timeout: float | None = None) -> Transaction:
        """Begins one. `retry_of`: one that was aborted; this one keeps its place in line, so that it wins at last.
        `timeout`: seconds after which the coordinator rolls it back, unless its commit was decided; None: as
        configured, which is also the most. Raises Unavailable; InvalidRequest."""
        if timeout is not None and timeout <= 0:
            raise InvalidRequest("timeout must be above 0 seconds")
        age = None if retry_of is None else retry_of.age
        return begin(self, age, None if timeout is None else max(1, int(timeout * 1000)))

    def run(self, body: Callable[[Transaction], T]) -> T:
        """What `body(tx)` returns, once its transaction has committed. `body` is run again, from the start, in a new
        transaction that keeps the place in line, while aborts are retryable: up to `attempts` times, or `timeout`. It
        must not have effects of its own. Where it raises, the transaction is rolled back; where it calls
        `tx.rollback()`, nothing is committed.

        Raises what body raises, Aborted, OutcomeUnknown, Unavailable."""
        deadline, backoff = self._deadline(), Backoff()
        tx, aborted = None, None
        for attempt in range(1, self._attempts + 1):
            try:
                tx = self.transaction(retry_of=tx)
            except Unavailable as error:
                raise aborted or error  # the abort before stands
            try:
                with tx:
                    value = body(tx)
                return value
            except Aborted as error:
                if not tx.ended_by(error) or not error.retryable:
                    raise
                if attempt == self._attempts or time.monotonic() >= deadline:
                    raise
                aborted = error
            backoff.pause(deadline)
        raise AssertionError("attempts is at least 1")

    # ---- Tokens

    def outcome(self, token: Token | str) -> CommitResult:
        """Asks again what became of a request of this object whose outcome was unknown. Where it never took effect,
        asking may make it take effect now: it is the same request. Raises Aborted; OutcomeUnknown, if it still is."""
        token = self._own(token)
        with self._lock:
            question = self._questions.get(token)
        if question is None:
            raise InvalidRequest(f"token {token} is of no request of this object whose outcome was unknown. For one of "
                                 "another process, execute the same operations with it: execute(operations, token=...)")
        return self._ask(question)

    def new_token(self) -> Token:
        """To be stored, with the operations, before `execute(operations, token)`: so that the outcome can be asked for
        even if this process dies. Raises Unavailable; InvalidRequest past 1,024 that were not released."""
        deadline, backoff = self._deadline(), Backoff()
        while True:
            try:
                return self._sessions.draw_kept(deadline)
            except NotSent as error:
                if time.monotonic() >= deadline:
                    raise Unavailable(str(error)) from error
            backoff.pause(deadline)

    def release(self, token: Token | str) -> None:
        """The application has stored the outcome of a token of `new_token`, or never used it: the cluster may forget
        it."""
        self._sessions.release(self._own(token))

    # ---- For the modules of this package

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout

    def _ask(self, commit: Commit | CommitWithBranches) -> CommitResult:
        try:
            return commit.ask(self._deadline())
        except OutcomeUnknown as unknown:
            with self._lock:
                self._questions.setdefault(unknown.token, commit)
                while len(self._questions) > OPEN_QUESTIONS_MAX:
                    del self._questions[next(iter(self._questions))]
            raise

    def _own(self, token: Token | str) -> Token:
        token = Token.parse(token)
        if token.group != self._leader.group:
            raise InvalidRequest(f"token {token} belongs to another coordinator group than "
                                 f"{group_text(self._leader.group)}: connect with coordinator='c{token.coordinator}'")
        return token

    def _read(self, operation: Operation) -> OperationResult:
        for _ in range(2):  # an answer to an earlier send got lost, and with it what was read: once more
            results = self.execute([operation]).results
            if results:
                return results[0]
        raise Unavailable("the answer got lost twice: read again")

