"""Interactive transactions: reads and writes as the application goes, here and at databases, then commit."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from . import operations as op
from ._branch import Branch
from ._commit import Commit, CommitResult
from ._connection import Lost, NotSent
from ._drivers import branch_of
from ._enlisted import Enlisted, KeepAlive
from ._leader import Backoff
from ._two_phase import CommitWithBranches
from ._wire import ttypes
from .errors import Aborted, AbortReason, Error, InvalidRequest, TokenRefused, Unavailable
from .operations import Bytes, Operation, OperationResult, Row
from .tokens import txn_text

if TYPE_CHECKING:
    from .cluster import Cluster

# Collected operations are sent unasked above this: far below the limits of a branch, to which all may count.
PENDING_OPERATIONS_MAX, PENDING_BYTES_MAX = 512, 256 * 1024
ROLLBACK_S = 1.0  # what it cannot tell, the idle timeout of the coordinator ends
TELL_S = 1.0  # how a branch ended: the coordinator would find out by itself
LOCK_TIMEOUT_S = 5.0

_REFUSAL = ttypes.RefusalCode
C = TypeVar("C")


class Transaction:
    """From `Cluster.transaction`. One thread at a time, in the process that began it.

    `put`, `delete`, `add` and `check` are collected, and sent with the next read or at commit: one round trip for
    many. So their failures show there. Any Aborted ends the transaction, which has then had no effect, and `commit`
    raises the same. The coordinator rolls back one that idles (10 s unless configured otherwise) or lives too long
    (60 s).

    As a context manager it commits at the end of the block, unless it has ended by then, and rolls back where the
    block raises.

    `enlist` makes the work on a connection to PostgreSQL or MariaDB a part of it: all of it is committed, or nothing.
    """

    def __init__(self, cluster: Cluster, begun: ttypes.BeginReply) -> None:
        self._cluster, self._txn, self._key = cluster, begun.txn, begun.key
        self.age: ttypes.Age = begun.age  # its place in line; opaque
        self._idle_ms = begun.idle_ms or 10_000
        self._process, self._using = os.getpid(), threading.RLock()
        self._enlisted = Enlisted(self.id)
        self._keep_alive: KeepAlive | None = None  # from the first that is enlisted on
        self._shards: list[int] = []
        self._pending: list[Operation] = []
        self._pending_bytes = 0
        self._commit: Commit | CommitWithBranches | None = None
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
        with self._alone():
            return self._send(op.checked(operations))

    def enlist(self, name: str, connection: C, *, lock_timeout: float = LOCK_TIMEOUT_S) -> C:
        """From now on, what is done on `connection` is a part of the transaction: it is committed or rolled back with
        it, and only with it. Do not call `commit` or `rollback` of the connection until then; it can be used as before
        afterwards. Returns `connection`.

        name:         the resource manager, as the cluster's configuration has it
        connection:   of psycopg2, psycopg (3), PyMySQL or MySQLdb, or a Connection or Session of SQLAlchemy over one of
                      these: idle, and not in autocommit mode if it is one to PostgreSQL
        lock_timeout: seconds that a statement waits for a lock of the database; nobody else sees a deadlock between
                      two databases, or between one and the shards

        A statement that failed makes the commit an abort, also where its error was caught, unless the connection went
        back to a savepoint. For that the calls of connections to MariaDB are watched while they are enlisted.

        Raises InvalidRequest, where the connection cannot be enlisted; Aborted. Where the database or the cluster
        refuses it, the transaction is rolled back; where the connection is not fit for it, nothing has happened."""
        with self._alone():
            self._raise_if_ended()
            if not isinstance(name, str) or not name:
                raise InvalidRequest(f"{name!r} is no name of a resource manager")
            branch = branch_of(name, connection)
            self._enlisted.refuse_twice(branch)
            branch.check()
            self._enlisted.refuse_twice(branch)
            request = ttypes.EnlistRequest(cluster=self._cluster._leader.cluster, txn=self._txn, key=self._key,
                                           resource_manager=name)
            reply = self._call("enlist", request, lambda reply: reply.enlisted is not None, repeatable=True)
            try:
                branch.start(reply.enlisted, lock_timeout)
            except InvalidRequest as error:
                self._abandon(error)
                raise
            self._enlisted.add(branch)
            if self._keep_alive is None:
                self._keep_alive = KeepAlive(self._cluster._leader, self._txn, self._key, self._idle_ms, self.id)
                weakref.finalize(self, self._keep_alive.stop)
            return connection

    def commit(self) -> CommitResult:
        """Raises Aborted, and OutcomeUnknown, after which it may be called again: it asks under the same token.

        With databases: each is asked to prepare, then the coordinator decides, then they are told. Where one of them
        cannot be told the coordinator tells it later: an UnfinishedWarning, and `unfinished` of the result. Raises
        Heuristic."""
        with self._alone():
            if self._commit is None:
                self._raise_if_ended()
                if self._pending:
                    self._send([])
                self._commit = self._to_commit(self._prepare())
            return self._cluster._ask(self._commit)

    def rollback(self) -> None:
        """Gives it up; nothing happens where it has ended already."""
        with self._alone():
            if self.open:
                self._abandon(Aborted(AbortReason.ROLLED_BACK, "by the application", self.id))

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        if error is not None:
            if os.getpid() == self._process:  # of a child that was forked in the block, it is not to end
                self.rollback()
        elif self._commit is None and not self._is_rolled_back():
            self.commit()

    def ended_by(self, error: Error) -> bool:
        """Whether it is this transaction's own."""
        return error is self._ended or (self._commit is not None and error is self._commit.end)

    def _is_rolled_back(self) -> bool:
        return isinstance(self._ended, Aborted) and self._ended.reason is AbortReason.ROLLED_BACK

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        if os.getpid() != self._process:
            raise InvalidRequest(f"transaction {self.id} was begun by another process: after a fork, connect again and "
                                 "begin another")
        if not self._using.acquire(blocking=False):
            raise InvalidRequest(f"transaction {self.id} is used by another thread at this moment: it is for one thread "
                                 "at a time")
        try:
            yield
        finally:
            self._using.release()

    def _raise_if_ended(self) -> None:
        if self._ended is None and self._keep_alive is not None and self._keep_alive.ended is not None:
            self._end(self._keep_alive.ended)
        if self._ended is not None:
            raise self._ended
        if self._commit is not None:
            raise InvalidRequest(f"transaction {self.id} has ended: begin another")

    def _collect(self, operation: Operation) -> None:
        with self._alone():
            self._raise_if_ended()
            self._pending.append(operation)
            self._pending_bytes += operation.size
            if len(self._pending) >= PENDING_OPERATIONS_MAX or self._pending_bytes >= PENDING_BYTES_MAX:
                self._send([])

    def _prepare(self) -> list[ttypes.ForeignWork]:
        """The votes of the branches."""
        try:
            return self._enlisted.prepare()
        except BaseException as error:
            self._abandon(error if isinstance(error, Error) else self._lost("interrupted"))
            raise

    def _to_commit(self, foreign: list[ttypes.ForeignWork]) -> Commit | CommitWithBranches:
        leader = self._cluster._leader

        def make_request(tag: ttypes.CommitTag, _age: Any) -> ttypes.CommitRequest:
            return ttypes.CommitRequest(cluster=leader.cluster, txn=self._txn, tag=tag, foreign=foreign,
                                        shards=self._shards, key=self._key)

        # One attempt: the work is the application's to repeat, in a new transaction.
        commit = Commit(leader, self._cluster._sessions, "commit", make_request)
        if self._keep_alive is None:
            return commit
        self._keep_alive.stop()
        return CommitWithBranches(commit, self._enlisted, self._tell, self._send_rollback)

    def _send(self, wanted: list[Operation]) -> list[OperationResult]:
        """What is pending, then `wanted`; the results of the latter. Whatever fails before the commit is sent is an
        abort, and no guess. So work whose answer is lost, which may have run, is not repeated but given up."""
        self._raise_if_ended()
        operations, self._pending, self._pending_bytes = self._pending + wanted, [], 0
        request = ttypes.WorkRequest(cluster=self._cluster._leader.cluster, txn=self._txn, key=self._key,
                                     operations=[operation.to_wire() for operation in operations])
        reply = self._call("work", request, lambda reply: len(reply.results or ()) == len(operations))
        return list(op.results_of(reply.results, operations))[len(operations) - len(wanted):]

    def _call(self, method: str, request: Any, is_done: Callable[[Any], bool], repeatable: bool = False) -> Any:
        """The reply that `is_done`. Raises what the transaction ended with otherwise."""
        leader, deadline, backoff = self._cluster._leader, self._cluster._deadline(), Backoff()

        def is_answer(reply: Any) -> bool:
            return reply.txn == self._txn and (reply.refusal is not None or reply.ending is not None
                                               or is_done(reply))
        while True:
            if leader.epoch > self._txn.epoch:  # whose undecided transactions end with it
                self._end(self._lost("the coordinator restarted, or another node leads"))
                self._raise_if_ended()
            try:
                reply = leader.send(method, lambda: request, is_answer, deadline)
            except NotSent as error:
                why = str(error)
            except Lost as error:
                if not repeatable:
                    self._abandon(self._lost(str(error)))
                    raise self._ended from error  # type: ignore[misc]
                why = str(error)
            except BaseException as error:  # too large, closed, or an interrupt while it was waited for
                self._abandon(error if isinstance(error, Error) else self._lost("interrupted"))
                raise
            else:
                if method == "work":
                    self._shards = list(reply.shards or ()) or self._shards
                if reply.ending is not None:
                    self._on_ending(reply.ending)
                if reply.refusal is None:
                    return reply
                self._on_refusal(reply.refusal, method)
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

    def _on_refusal(self, refusal: ttypes.Refusal, method: str) -> None:
        """Returns where the same may be sent again."""
        if refusal.code == _REFUSAL.NO_SUCH_TXN:
            self._end(Aborted(AbortReason.EXPIRED, refusal.detail or "", self.id))
        elif refusal.code == _REFUSAL.INVALID:
            self._abandon(InvalidRequest(refusal.detail))
        elif refusal.code in (_REFUSAL.TOKEN_EXPIRED, _REFUSAL.TOKEN_MISMATCH):
            self._abandon(TokenRefused(refusal.detail))
        elif refusal.code == _REFUSAL.OVERLOADED and method == "enlist":  # for as long as that database is away, perhaps
            self._abandon(Aborted(AbortReason.OVERLOADED, refusal.detail or "", self.id))
        self._raise_if_ended()

    def _lost(self, why: str | None) -> Aborted:
        return Aborted(AbortReason.BRANCH_LOST, f"in mid-transaction: {why}", self.id)

    def _end(self, error: Error) -> None:
        """As it is known to have ended at the coordinator."""
        self._end_here(error)
        self._tell_rolled_back()

    def _end_here(self, error: Error) -> None:
        self._ended = error
        self._pending.clear()
        if self._keep_alive is not None:
            self._keep_alive.stop()
            self._enlisted.roll_back()

    def _abandon(self, error: Error) -> None:
        """Ends it, and lets the coordinator know, so that locks do not wait for its idle timeout."""
        self._end_here(error)
        self._send_rollback()
        self._tell_rolled_back()

    def _send_rollback(self) -> None:
        leader = self._cluster._leader
        if leader.epoch > self._txn.epoch:
            return
        request = ttypes.RollbackRequest(cluster=leader.cluster, txn=self._txn, key=self._key)
        try:
            leader.send("rollback", lambda: request, lambda reply: reply.txn == self._txn,
                        time.monotonic() + ROLLBACK_S)
        except (NotSent, Lost, Error):
            pass  # one send, briefly: the idle timeout does the same

    def _tell_rolled_back(self) -> None:
        for branch in self._enlisted.rolled_back():
            self._tell(branch, ttypes.Decision.ABORT)

    def _tell(self, branch: Branch, decision: int) -> None:
        """That a branch has ended so. Any thread."""
        leader = self._cluster._leader
        request = ttypes.FinishedRequest(cluster=leader.cluster, txn=self._txn, key=self._key,
                                         resource_manager=branch.name, branch=branch.number, decision=decision)
        try:
            leader.send("finished", lambda: request, lambda reply: reply.txn == self._txn,
                        time.monotonic() + TELL_S)
        except (NotSent, Lost, Error):
            pass  # once, briefly: the coordinator finds it ended


def begin(cluster: Cluster, age: ttypes.Age | None, life_ms: int | None = None) -> Transaction:
    """Raises Unavailable, InvalidRequest."""
    leader, deadline, backoff = cluster._leader, cluster._deadline(), Backoff()
    while True:
        try:  # lost or not is one: a transaction that was begun and never heard of idles out
            reply = leader.send(
                "begin_txn",
                lambda: ttypes.BeginRequest(cluster=leader.cluster, group=leader.group, retry_of=age, life_ms=life_ms,
                                            enlist=[]),
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
