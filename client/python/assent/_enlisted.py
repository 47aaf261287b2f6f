"""All branches of one transaction at databases: votes in the order of names, ends in parallel."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from ._branch import Branch, Refused, State
from ._connection import Lost, NotSent
from ._leader import Leader
from ._wire import ttypes
from .errors import Aborted, AbortReason, Error, InvalidRequest

END_S = 10.0  # what does not end on its own connection until then is the coordinator's to end
KEEP_ALIVE_S_MAX = 5.0  # of one call; it is repeated


class Enlisted:
    def __init__(self, txn: str) -> None:
        self._txn = txn
        self._branches: dict[str, Branch] = {}

    def __bool__(self) -> bool:
        return bool(self._branches)

    def refuse_twice(self, branch: Branch) -> None:
        """By name, by connection and, after its `check`, by database. Raises InvalidRequest."""
        for other in self._branches.values():
            if other.name == branch.name:
                raise InvalidRequest(f"{branch.name} is enlisted already")
            if other.connection is branch.connection:
                raise InvalidRequest(f"{branch.name}: the connection is enlisted already, as {other.name}")
            if branch.identity and other.identity == branch.identity:
                raise InvalidRequest(f"{branch.name} is the same database as {other.name}, which is enlisted already: "
                                     "use that connection")

    def add(self, branch: Branch) -> None:
        self._branches[branch.name] = branch

    def prepare(self) -> list[ttypes.ForeignWork]:
        """The votes. Raises Aborted, after which all are to be rolled back. One after the other, in the order of
        names: constraints that are looked at this late may wait for locks."""
        for branch in self._in_order():
            try:
                branch.prepare()
            except Refused as refused:
                raise refused.to_aborted(branch.name, self._txn) from refused.__cause__
        return [branch.to_wire() for branch in self._in_order()]

    def commit(self, tell: Callable[[Branch], None]) -> dict[str, str]:
        """Those that could not be committed here, and why. `tell` is called for each that was."""
        def commit(branch: Branch) -> None:
            branch.commit()
            if branch.state is State.OVER and branch.vote == ttypes.Vote.YES:
                tell(branch)
        return self._end(commit, True)

    def leave(self) -> None:
        """As they are: the outcome is unknown."""
        for branch in self._in_order():
            branch.leave()

    def roll_back(self) -> None:
        self._end(Branch.roll_back, False)

    def rolled_back(self) -> list[Branch]:
        """Those that surely were."""
        return [branch for branch in self._in_order() if branch.state is State.OVER
                and branch.vote != ttypes.Vote.READ_ONLY]

    def prepared(self) -> list[str]:
        return [branch.name for branch in self._in_order() if branch.state in (State.PREPARING, State.PREPARED)]

    def _in_order(self) -> list[Branch]:
        return sorted(self._branches.values(), key=lambda branch: branch.name)

    def _end(self, action: Callable[[Branch], None], committed: bool) -> dict[str, str]:
        """In threads, which an interrupt of the application does not reach: no driver cancels a statement there."""
        branches = self._in_order()
        running = _run([functools.partial(action, branch) for branch in branches], END_S)
        problems = {}
        for branch, is_running in zip(branches, running):
            if is_running:
                problems[branch.name] = (f"no answer for {END_S:g} s; its connection is in use until one comes: close "
                                         "it")
                continue
            branch.settle(committed)
            if branch.state is State.LEFT or branch.trouble:
                problems[branch.name] = branch.trouble or "it could not be ended"
        return problems


def _run(actions: Iterable[Callable[[], None]], limit_s: float) -> list[bool]:
    """Whether each is running still."""
    threads = [threading.Thread(target=action, name="assent-branch", daemon=True) for action in actions]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread.is_alive() for thread in threads]


class KeepAlive:
    """A thread that tells the coordinator, three times in its idle time, that the application still works, elsewhere.
    It holds nothing of the transaction's, so that one which is dropped without an end idles out."""

    def __init__(self, leader: Leader, txn: ttypes.TxnId, key: int, idle_ms: int, txn_text: str) -> None:
        self.ended: Error | None = None  # what the coordinator said that the transaction ended with
        self._stop = threading.Event()
        self._leader, self._txn, self._txn_text = leader, txn, txn_text
        self._request = ttypes.KeepAliveRequest(cluster=leader.cluster, txn=txn, key=key)
        self._period_s = max(0.01, idle_ms / 3000)
        threading.Thread(target=self._run, name="assent-keep-alive", daemon=True).start()

    def stop(self) -> None:
        """A call that is under way is not waited for."""
        self._stop.set()

    def _run(self) -> None:
        while self.ended is None and not self._stop.wait(self._period_s):
            try:
                reply = self._leader.send("keep_alive", lambda: self._request, lambda reply: reply.txn == self._txn,
                                          time.monotonic() + min(self._period_s, KEEP_ALIVE_S_MAX))
            except (NotSent, Lost):
                continue  # the next one, or the next call of the application, finds out
            except Error:
                return  # closed
            self.ended = self._end_of(reply)

    def _end_of(self, reply: Any) -> Error | None:
        if reply.ending is not None and reply.ending.outcome == ttypes.Outcome.ABORTED:
            return Aborted(AbortReason.of(reply.ending.reason), reply.ending.detail or "", self._txn_text)
        if reply.refusal is not None and reply.refusal.code == ttypes.RefusalCode.NO_SUCH_TXN:
            return Aborted(AbortReason.EXPIRED, reply.refusal.detail or "", self._txn_text)
        return None
