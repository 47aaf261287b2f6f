"""Finds the leader of a coordinator group, follows it when it moves, and sends it requests over a pool of connections.
It never repeats a request: its caller decides what a failure means."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from ._connection import Connection, Lost, NotSent, parse_address
from ._wire import constants, ttypes
from .errors import Error, InvalidRequest, Unavailable, WrongCluster

CALL_S = constants.ANSWER_MS_MAX / 1000 + 3  # "a little longer than ANSWER_MS_MAX"
WHERE_IS_S = 2.0  # answered from a node's memory
PATIENCE_S = 1.0  # an answer that takes longer makes us ask others whether the group has a later epoch
ADDRESSES_MAX = 64  # given and learned; a cluster has fewer nodes
IDLE_CONNECTIONS_MAX = 16  # kept open for the next calls; a node serves 256 clients unless configured otherwise


class _Foreign(NotSent):
    """A node of another cluster."""


class Backoff:
    """Pauses between sends, of 5 ms to half a second: doubled each time, each drawn from its upper half, so that many
    clients of a node that restarts do not come back at once."""

    def __init__(self) -> None:
        self._next_s = 0.005

    def pause(self, deadline: float) -> None:
        time.sleep(max(0.0, min(random.uniform(self._next_s / 2, self._next_s), deadline - time.monotonic())))
        self._next_s = min(0.5, self._next_s * 2)


class _Route:
    """The leader in one epoch, as far as we know, and the connections to it that no call uses."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.idle: list[Connection] = []


class Leader:
    """Any number of threads."""

    def __init__(self, addresses: list[str], cluster: str, group: int) -> None:
        """`group` 0: the first that has a leader."""
        if not addresses:
            raise InvalidRequest("name at least one node's address, as host:port")
        for address in addresses:
            parse_address(address)
        self.cluster, self.group, self.epoch = cluster, group, 0
        self._addresses, self._next = list(dict.fromkeys(addresses)), 0
        self._route: _Route | None = None
        self._reached = self._closed = False
        self._lock = threading.Lock()  # of the fields; never held while a node is waited for
        self._search = threading.Lock()  # one thread looks for the leader, the others wait for what it finds

    def await_leader(self, deadline: float) -> None:
        """Raises WrongCluster and, after one round in which no connection was made or at the deadline, Unavailable
        with the reason of each address."""
        backoff = Backoff()
        while True:
            try:
                self._find(deadline)
                return
            except _Foreign as error:
                raise WrongCluster(str(error)) from error
            except NotSent as error:
                if not self._reached:
                    raise Unavailable(f"{error}. Start a node (assent dev), or give the addresses of others") from error
                backoff.pause(deadline)
                if time.monotonic() >= deadline:
                    raise Unavailable(f"{error}. See `assent status`") from error

    def send(self, method: str, make_request: Callable[[], Any], is_answer: Callable[[Any], bool],
             deadline: float) -> Any:
        """One send. `make_request` runs once cluster, group and epoch are known. `is_answer` tells whether a reply is
        one to that request: it may be anybody's. Raises NotSent, Lost, InvalidRequest (too large), Error
        (closed)."""
        route, connection = self._take(deadline)
        try:
            left_s = max(0.001, min(CALL_S, deadline - time.monotonic()))
            reply = connection.call(method, make_request(), left_s, PATIENCE_S, lambda: self._replaced(route))
            if not is_answer(reply):
                raise Lost(f"{route.address}: an answer to something else")
        except InvalidRequest:
            self._give_back(route, connection)
            raise
        except BaseException as error:  # an interrupt as well: its answer is still to come
            connection.close()
            if isinstance(error, Lost):
                self._forget(route)
            raise
        self._learn(route, reply.refusal)
        self._give_back(route, connection)
        return reply

    def close(self) -> None:
        with self._lock:
            self._closed, route = True, self._route
        if route is not None:
            self._forget(route)

    # ---- Connections

    def _take(self, deadline: float) -> tuple[_Route, Connection]:
        with self._lock:
            if self._closed:
                raise Error("the cluster object is closed: connect again")
            route = self._route
            while route is not None and route.idle:
                connection = route.idle.pop()
                # A node that closed it would otherwise be found out only after the request was sent.
                if not connection.stale():
                    return route, connection
                connection.close()
        if time.monotonic() >= deadline:
            raise NotSent("the deadline passed")
        if route is None:
            route = self._find(deadline)
        try:
            return route, Connection(route.address)
        except NotSent:
            self._forget(route)
            raise

    def _give_back(self, route: _Route, connection: Connection) -> None:
        with self._lock:
            if route is self._route and not self._closed and len(route.idle) < IDLE_CONNECTIONS_MAX:
                route.idle.append(connection)
                return
        connection.close()

    def _forget(self, route: _Route) -> None:
        with self._lock:
            if route is self._route:
                self._route = None
            while route.idle:
                route.idle.pop().close()

    def _learn(self, route: _Route, refusal: ttypes.Refusal | None) -> None:
        if refusal is None:
            return
        if refusal.code in (ttypes.RefusalCode.NOT_SERVING, ttypes.RefusalCode.WRONG_CLUSTER):
            self._forget(route)
        if refusal.code == ttypes.RefusalCode.STALE_EPOCH:
            with self._lock:
                later = (refusal.epoch or 0) > self.epoch
                self.epoch = max(self.epoch, refusal.epoch or 0)
            if not later:
                self._forget(route)  # it is behind what we know: somebody else leads

    # ---- Who leads

    def _find(self, deadline: float) -> _Route:
        """One round over the addresses known; one of all threads does it. Raises NotSent, with each one's reason."""
        if not self._search.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise NotSent("the deadline passed")
        try:
            with self._lock:
                if self._route is not None:
                    return self._route
                known = len(self._addresses)
            reasons, foreign = [], 0
            for _ in range(known):
                if time.monotonic() >= deadline:
                    break
                try:
                    leads_at, epoch = self._ask(self._next_address(), deadline)
                except (NotSent, Lost) as error:
                    reasons.append(str(error))
                    foreign += isinstance(error, _Foreign)
                    continue
                with self._lock:
                    self.epoch = max(self.epoch, epoch)
                    self._route = _Route(leads_at)
                    return self._route
        finally:
            self._search.release()
        text = "; ".join(reasons) or "the deadline passed"
        raise _Foreign(text) if reasons and foreign == len(reasons) else NotSent(text)

    def _next_address(self) -> str:
        """Each round begins where the last ended: a node whose news are old is not asked first again."""
        with self._lock:
            address = self._addresses[self._next]
            self._next = (self._next + 1) % len(self._addresses)
            return address

    def _ask(self, address: str, deadline: float) -> tuple[str, int]:
        """Address and epoch of the leader as one node knows it. Raises Lost or NotSent."""
        connection = Connection(address)
        self._reached = True
        try:
            timeout_s = max(0.001, min(WHERE_IS_S, deadline - time.monotonic()))
            where = connection.call("where_is", ttypes.WhereIsRequest(cluster=self.cluster), timeout_s, timeout_s,
                                    lambda: None)
        finally:
            connection.close()
        if where.refusal is not None:
            raise _Foreign(f"{address}: {where.refusal.detail}")
        with self._lock:
            if not where.cluster or (self.cluster and where.cluster != self.cluster):
                raise _Foreign(f"{address}: it belongs to cluster {where.cluster!r}, not to {self.cluster!r}")
            self.cluster = where.cluster
            for other in where.addresses or ():
                if other not in self._addresses and len(self._addresses) < ADDRESSES_MAX:
                    self._addresses.append(other)
            for leader in where.leaders or ():
                # One with a lower epoch is an older view than the one we have heard of.
                if self.group in (0, leader.group) and leader.epoch >= max(1, self.epoch):
                    self.group = leader.group
                    return leader.address, leader.epoch
        raise NotSent(f"{address}: knows no leader of the coordinator group")

    def _replaced(self, route: _Route) -> str | None:
        """Asks one node, another one each time, whether the group has a later epoch than we know. If so, what its old
        leader may still say is no better than what the new one knows."""
        asked = self._next_address()
        if asked == route.address:
            asked = self._next_address()
        if asked == route.address:
            return None  # nobody else is known
        with self._lock:
            epoch = self.epoch
        try:
            leads_at, later = self._ask(asked, time.monotonic() + PATIENCE_S)
        except (NotSent, Lost):
            return None
        if later <= epoch:
            return None
        with self._lock:
            self.epoch = max(self.epoch, later)
        return f"no answer, and {leads_at} leads in epoch {later}"

