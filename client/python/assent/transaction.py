"""Interactive transactions: reads and writes as the application goes, then commit."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import operations as op
from ._commit import Commit, CommitResult
from ._connection import Lost, NotSent
from ._leader import Backoff
from ._wire import ttypes
from .errors import Aborted, AbortReason, Error, InvalidRequest, TokenRefused, Unavailable
from .operations import Bytes, Operation, OperationResult, Row
from .tokens import txn_text

if TYPE_CHECKING:
    from .cluster import Cluster

# Collected operations are sent unasked above this: far below the limits of a branch, to which all may count.
PENDING_OPERATIONS_MAX, PENDING_BYTES_MAX = 512, 256 * 1024
ROLLBACK_S = 1.0  # what it cannot tell, the idle timeout of the coordinator ends

_REFUSAL = ttypes.RefusalCode


class Transaction:
    """From `Cluster.transaction`. One thread at a time.

    `put`, `delete`, `add` and `check` are collected, and sent with the next read or at commit: one round trip for
    many. So their failures show there. Any Aborted ends the transaction, which has then had no effect, and `commit`
    raises the same. The coordinator rolls back one that idles (10 s unless configured otherwise) or lives too long
    (60 s).

    As a context manager it commits at the end of the block, unless it has ended by then, and rolls back where the
    block raises.
    """

    def __init__(self, cluster: Cluster, begun: ttypes.BeginReply) -> None:
        self._cluster, self._txn, self._key = cluster, begun.txn, begun.key
        self.age: ttypes.Age = begun.age  # its place in line; opaque
        self._shards: list[int] = []
        self._pending: list[Operation] = []
        self._pending_bytes = 0
        self._commit: Commit | None = None
        self._ended: Error | None = None  # but for a commit, whose result _commit knows

    @property
    def id(self) -> str:
        """As `assent txn show` takes it: "c1.4.93e4"."""
        return txn_text(self._txn)

    @property
    def open(self) -> bool:
        """Not ended by commit, rollback or an error."""
        return self._ended is None and self._commit is None

    def get(self, key: Bytes) -> Row | None:
        """None: no such key. Raises Aborted."""
        return self.execute([op.get(key)])[0].row

    def scan(self, prefix: Bytes, limit: int | None = None) -> list[Row]:
        """The first `limit` rows whose keys start with `prefix`, or all of them, in order, in as many requests as it
        takes. Raises Aborted."""
        if limit is not None and limit < 1:
            raise InvalidRequest(f"limit: {limit} is less than 1")
        rows: list[Row] = []
        while True:
            page_limit = None if limit is None else min(limit - len(rows), op.SCAN_ROWS_MAX)
            page = self.execute([op.scan(prefix, page_limit, after=rows[-1].key if rows else None)])[0]
            rows += page.rows
            if not page.truncated or (limit is not None and len(rows) >= limit):
                return rows
            if not page.rows:
                raise Unavailable("a scan that is not at its end brought no rows")

    def put(self, key: Bytes, value: Bytes) -> None:
        self._collect(op.put(key, value))

    def delete(self, key: Bytes) -> None:
        self._collect(op.delete(key))

    def add(self, key: Bytes, delta: int, min: int | None = None) -> None:
        """As `assent.add`. For the sum at once: `execute([assent.add(...)])[0].number`."""
        self._collect(op.add(key, delta, min))

    def check(self, key: Bytes, *, exists: bool | None = None, value: Bytes | None = None,
              version: int | None = None) -> None:
        """As `assent.check`."""
        self._collect(op.check(key, exists=exists, value=value, version=version))

    def execute(self, operations: Iterable[Operation]) -> list[OperationResult]:
        """Sends what was collected and these at once; a result for each of these. Raises Aborted."""
        return self._send(op.checked(operations))

    def commit(self) -> CommitResult:
        """Raises Aborted, and OutcomeUnknown, after which it may be called again: it asks under the same token."""
        if self._commit is None:
            self._raise_if_ended()
            if self._pending:
                self._send([])
            leader = self._cluster._leader

            def make_request(tag: ttypes.CommitTag, _age: Any) -> ttypes.CommitRequest:
                return ttypes.CommitRequest(cluster=leader.cluster, txn=self._txn, tag=tag, foreign=[],
                                            shards=self._shards, key=self._key)

            # One attempt: the work is the application's to repeat, in a new transaction.
            self._commit = Commit(leader, self._cluster._sessions, "commit", make_request)
        return self._cluster._ask(self._commit)

    def rollback(self) -> None:
        """Gives it up; nothing happens where it has ended already."""
        if self.open:
            self._abandon(Aborted(AbortReason.ROLLED_BACK, "by the application", self.id))

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        if error is not None:
            self.rollback()
        elif self._commit is None and not self._is_rolled_back():
            self.commit()

    def ended_by(self, error: Error) -> bool:
        """Whether it is this transaction's own."""
        return error is self._ended or (self._commit is not None and error is self._commit.end)

    def _is_rolled_back(self) -> bool:
        return isinstance(self._ended, Aborted) and self._ended.reason is AbortReason.ROLLED_BACK

    def _raise_if_ended(self) -> None:
        if self._ended is not None:
            raise self._ended
        if self._commit is not None:
            raise InvalidRequest(f"transaction {self.id} has ended: begin another")

    def _collect(self, operation: Operation) -> None:
        self._raise_if_ended()
        self._pending.append(operation)
        self._pending_bytes += operation.size
        if len(self._pending) >= PENDING_OPERATIONS_MAX or self._pending_bytes >= PENDING_BYTES_MAX:
            self._send([])

    def _send(self, wanted: list[Operation]) -> list[OperationResult]:
        """What is pending, then `wanted`; the results of the latter. Whatever fails before the commit is sent is an
        abort, and no guess. So work whose answer is lost, which may have run, is not repeated but given up."""
        self._raise_if_ended()
        operations, self._pending, self._pending_bytes = self._pending + wanted, [], 0
        leader, deadline, backoff = self._cluster._leader, self._cluster._deadline(), Backoff()
        request = ttypes.WorkRequest(cluster=leader.cluster, txn=self._txn, key=self._key,
                                     operations=[operation.to_wire() for operation in operations])
        while True:
            if leader.epoch > self._txn.epoch:  # whose undecided transactions end with it
                self._end(self._lost("the coordinator restarted, or another node leads"))
                self._raise_if_ended()
            try:
                reply = leader.send("work", lambda: request, lambda reply: _is_work(reply, self._txn, operations),
                                    deadline)
            except NotSent as error:
                why = str(error)
            except Lost as error:
                self._abandon(self._lost(str(error)))
                raise self._ended from error  # type: ignore[misc]
            except BaseException as error:  # too large, closed, or an interrupt while it was waited for
                self._abandon(error if isinstance(error, Error) else self._lost("interrupted"))
                raise
            else:
                self._shards = list(reply.shards or ()) or self._shards
                if reply.ending is not None:
                    self._on_ending(reply.ending)
                if reply.refusal is None:
                    return list(op.results_of(reply.results, operations))[len(operations) - len(wanted):]
                self._on_refusal(reply.refusal)
                why = reply.refusal.detail
            if time.monotonic() >= deadline:
                self._abandon(self._lost(why))
                self._raise_if_ended()
            backoff.pause(deadline)

    def _on_ending(self, ending: ttypes.Ending) -> None:
        if ending.outcome != ttypes.Outcome.ABORTED:
            self._abandon(self._lost(ending.detail))
        else:
            if ending.age is not None and ending.age.begin_us < self.age.begin_us:
                self.age = ending.age
            self._end(Aborted(AbortReason.of(ending.reason), ending.detail or "", self.id))
        self._raise_if_ended()

    def _on_refusal(self, refusal: ttypes.Refusal) -> None:
        """Returns where the same may be sent again."""
        if refusal.code == _REFUSAL.NO_SUCH_TXN:
            self._end(Aborted(AbortReason.EXPIRED, refusal.detail or "", self.id))
        elif refusal.code == _REFUSAL.INVALID:
            self._abandon(InvalidRequest(refusal.detail))
        elif refusal.code in (_REFUSAL.TOKEN_EXPIRED, _REFUSAL.TOKEN_MISMATCH):
            self._abandon(TokenRefused(refusal.detail))
        self._raise_if_ended()

    def _lost(self, why: str | None) -> Aborted:
        return Aborted(AbortReason.BRANCH_LOST, f"in mid-transaction: {why}", self.id)

    def _end(self, error: Error) -> None:
        self._ended = error
        self._pending.clear()

    def _abandon(self, error: Error) -> None:
        """Ends it, and lets the coordinator know, so that locks do not wait for its idle timeout."""
        self._end(error)
        leader = self._cluster._leader
        if leader.epoch > self._txn.epoch:
            return
        request = ttypes.RollbackRequest(cluster=leader.cluster, txn=self._txn, key=self._key)
        try:
            leader.send("rollback", lambda: request, lambda reply: reply.txn == self._txn,
                        time.monotonic() + ROLLBACK_S)
        except (NotSent, Lost, Error):
            pass  # one send, briefly: the idle timeout does the same


def _is_work(reply: ttypes.WorkReply, txn: ttypes.TxnId, operations: list[Operation]) -> bool:
    return reply.txn == txn and (reply.refusal is not None or reply.ending is not None
                                 or len(reply.results or ()) == len(operations))


def begin(cluster: Cluster, age: ttypes.Age | None) -> Transaction:
    """Raises Unavailable, InvalidRequest."""
    leader, deadline, backoff = cluster._leader, cluster._deadline(), Backoff()
    while True:
        try:  # lost or not is one: a transaction that was begun and never heard of idles out
            reply = leader.send(
                "begin_txn",
                lambda: ttypes.BeginRequest(cluster=leader.cluster, group=leader.group, retry_of=age),
                lambda reply: reply.refusal is not None or (reply.txn is not None and reply.age is not None), deadline)
        except (NotSent, Lost) as error:
            why = str(error)
        else:
            if reply.refusal is None:
                return Transaction(cluster, reply)
            if reply.refusal.code == _REFUSAL.INVALID:
                raise InvalidRequest(reply.refusal.detail)
            why = reply.refusal.detail
        if time.monotonic() >= deadline:
            raise Unavailable(f"no transaction could be begun: {why}")
        backoff.pause(deadline)
