"""A client of the TransactionManager as a stranger would write it who has nothing but thrift/assent.thrift: how it
fills fields, finds leaders, takes refusals and lost answers is what the comments there say. It shares no code with
others."""

import random
import select
import threading
import time

from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.Thrift import TException
from thrift.transport import TSocket, TTransport

from assent_wire import TransactionManager
from assent_wire.constants import ANSWER_MS_MAX
from assent_wire.ttypes import (AbortReason, BeginRequest, CommitRequest, CommitTag, ExecuteRequest, OpenSessionRequest,
                                Operation, OperationKind, Outcome, RefusalCode, RollbackRequest, Token, WhereIsRequest,
                                WorkRequest)

TRANSIENT = {AbortReason.WOUNDED, AbortReason.LOCK_TIMEOUT, AbortReason.BRANCH_LOST, AbortReason.VOTE_TIMEOUT,
             AbortReason.EXPIRED, AbortReason.BELOW_MARK, AbortReason.REFUSED_ATTEMPT, AbortReason.OVERLOADED}
PATIENCE_S = ANSWER_MS_MAX / 1000 + 1  # "a little longer than ANSWER_MS_MAX"


def get(key):
    return Operation(kind=OperationKind.GET, key=key)


def put(key, value):
    return Operation(kind=OperationKind.PUT, key=key, value=value)


def remove(key):
    return Operation(kind=OperationKind.REMOVE, key=key)


def exists(key):
    return Operation(kind=OperationKind.CHECK_EXISTS, key=key)


def absent(key):
    return Operation(kind=OperationKind.CHECK_ABSENT, key=key)


def has_value(key, value):
    return Operation(kind=OperationKind.CHECK_VALUE, key=key, value=value)


def has_version(key, version):
    return Operation(kind=OperationKind.CHECK_VERSION, key=key, version=version)


def add(key, delta, floor=None):
    return Operation(kind=OperationKind.ADD, key=key, delta=delta, floor=floor)


def scan(prefix, limit=None, after=None):
    return Operation(kind=OperationKind.SCAN, key=prefix, limit=limit, after=after)


class NotSent(Exception):
    """Nothing of the request left."""


class Lost(Exception):
    """The request left, perhaps, and no answer came: it may have been done."""


class Refused(Exception):
    """Nothing was done, and nothing will be; the same request brings the same."""

    def __init__(self, refusal):
        super().__init__(f"{RefusalCode._VALUES_TO_NAMES.get(refusal.code)}: {refusal.detail}")
        self.code = refusal.code


class Over(Exception):
    """An interactive transaction has ended, uncommitted; its locks are free, or will be."""

    def __init__(self, why, ending=None):
        super().__init__(why)
        self.ending = ending


class Stopped(Exception):
    """The client was told to give up."""


class Connection:
    """Opened when needed, closed after any error: what is answered late must find nobody."""

    def __init__(self, address, dial):
        self._address, self._dial, self._transport = address, dial, None

    def _open(self, timeout_s):
        if self._transport is not None and select.select([self._socket.handle], [], [], 0)[0]:
            self.close()  # idle, and closed by the node
        if self._transport is not None:
            return
        host, _, port = self._dial(self._address).rpartition(":")
        self._socket = TSocket.TSocket(host, int(port))
        self._socket.setTimeout(min(timeout_s, 5) * 1000)
        transport = TTransport.TFramedTransport(self._socket)
        transport.open()
        self._transport = transport
        self.client = TransactionManager.Client(
            TMultiplexedProtocol(TBinaryProtocol(transport), "TransactionManager"))

    def call(self, method, request, timeout_s=PATIENCE_S, hopeless=lambda: False):
        """`hopeless` is asked once a second whether it is worth while to wait on."""
        try:
            self._open(timeout_s)
        except (TException, OSError) as error:
            self.close()
            raise NotSent(f"{self._address}: {error}") from error
        try:
            getattr(self.client, "send_" + method)(request)
            deadline = time.monotonic() + timeout_s
            while not select.select([self._socket.handle], [], [], min(1, timeout_s))[0]:
                if time.monotonic() >= deadline or hopeless():
                    raise OSError("no answer")
            return getattr(self.client, "recv_" + method)()
        except (TException, OSError, EOFError) as error:
            self.close()
            raise Lost(f"{self._address}: {error}") from error

    def close(self):
        if self._transport is not None:
            self._transport.close()
        self._transport = None


class Session:
    """A client id and its tokens. Any thread."""

    def __init__(self, group, client, birth_us):
        self.group, self.client, self._birth_us = group, client, birth_us
        self._lock, self._next, self._open = threading.Lock(), 1, set()

    def draw(self):
        with self._lock:
            token = Token(group=self.group, client=self.client, seq=self._next, birth_us=self._birth_us)
            self._open.add(token.seq)
            self._next += 1
            return token

    def settle(self, token):
        """Nobody will ask about it again."""
        with self._lock:
            self._open.discard(token.seq)

    def acked_below(self):
        with self._lock:
            return min(self._open, default=self._next)

    def note_birth(self, birth_us):
        with self._lock:
            self._birth_us = birth_us or self._birth_us


class Commit:
    """What is to become of one token: a request to be repeated until that is known."""

    def __init__(self, session, attempt=1):
        self.session, self.token, self.attempt = session, session.draw(), attempt
        self.age = None
        self.maybe = False  # a send of this attempt may have been run
        self.unknown = False  # the cluster said so of this attempt
        self.sends = 0

    def note_age(self, age):
        if age is not None and (self.age is None or age.begin_us < self.age.begin_us):
            self.age = age

    def execute(self, operations, foreign=()):
        self.method, self.content = "execute", dict(operations=operations, foreign=list(foreign))
        return self

    def commit(self, transaction, mistakes=None):
        """mistakes(): the shards that the next send names, for those who do not name what work told them. Until a
        refusal says so."""
        self.method, self.content = "commit", dict(txn=transaction.txn, foreign=[], key=transaction.key)
        self.shards, self.mistakes = transaction.shards, mistakes
        return self

    def request(self, cluster, epoch):
        tag = CommitTag(token=self.token, sent_to=epoch, attempt=self.attempt,
                        acked_below=self.session.acked_below())
        if self.method == "execute":
            return ExecuteRequest(cluster=cluster, group=self.token.group, tag=tag, retry_of=self.age, **self.content)
        return CommitRequest(cluster=cluster, tag=tag, shards=self.mistakes() if self.mistakes else self.shards,
                             **self.content)


class Transaction:
    """An interactive one."""

    def __init__(self, begun):
        self.txn, self.key, self.age, self.shards = begun.txn, begun.key, begun.age, []


class Client:
    """For one thread and one coordinator group. `told(commit, ending)` hears each COMMITTED and ABORTED."""

    def __init__(self, addresses, group=None, dial=lambda address: address, told=lambda commit, ending: None,
                 stopped=lambda: False):
        self.group, self.cluster = group, ""
        self._addresses, self._dial, self._told, self._stopped = list(addresses), dial, told, stopped
        self._leader, self._connection, self.epoch = None, None, 0
        self.lost = self.unknown = self.unknown_committed = 0  # answers; of these, what was found out
        self.why = ""  # the last one that was neither COMMITTED nor ABORTED; for people

    # ---- Leaders

    def _ask_where(self, epoch):
        """A leader of the group in that epoch or a later one, if any node names one. Nodes may be behind."""
        for address in random.sample(self._addresses, len(self._addresses)):
            connection = Connection(address, self._dial)
            try:
                where = connection.call("where_is", WhereIsRequest(cluster=self.cluster), timeout_s=2)
            except (NotSent, Lost):
                continue
            finally:
                connection.close()
            if where.refusal is not None:
                continue
            self.cluster = where.cluster
            self._addresses += [other for other in where.addresses if other not in self._addresses]
            for leader in where.leaders:
                self.group = self.group or leader.group
                if leader.group == self.group and leader.epoch >= epoch:
                    return leader
        return None

    def leader(self):
        """Asks until one is known."""
        while self._leader is None:
            self._pause(0.02)
            leader = self._ask_where(self.epoch)
            if leader is not None:
                self._leader, self._connection = leader, Connection(leader.address, self._dial)
                self.epoch = leader.epoch
        return self._leader

    def _forget_leader(self):
        if self._connection is not None:
            self._connection.close()
        self._leader = self._connection = None

    def _pause(self, seconds):
        if self._stopped():
            raise Stopped
        time.sleep(seconds * random.uniform(0.5, 1.5))

    def _superseded(self):
        return self._ask_where(self.epoch + 1) is not None

    def send(self, method, request):
        try:
            return self._connection.call(method, request, hopeless=self._superseded)
        except NotSent:
            self._forget_leader()
            raise
        except Lost as error:
            self.lost += 1
            self.why = str(error)
            self._forget_leader()
            raise

    def until_answered(self, method, make_request):
        """Of calls that may be repeated freely. A reply without a refusal; raises Refused."""
        while True:
            self.leader()
            try:
                reply = self.send(method, make_request())
            except (NotSent, Lost):
                continue
            if reply.refusal is None:
                return reply
            self._take_refusal(reply.refusal)

    def _take_refusal(self, refusal, sent_to=None):
        """Returns where the request may be sent again, raises Refused where that brings nothing."""
        self.why = str(Refused(refusal))
        if refusal.code == RefusalCode.STALE_EPOCH and sent_to is not None and refusal.epoch > sent_to:
            self.epoch = refusal.epoch
        elif refusal.code in (RefusalCode.STALE_EPOCH, RefusalCode.NOT_SERVING):
            self._forget_leader()
        elif refusal.code in (RefusalCode.OVERLOADED, RefusalCode.BUSY):
            self._pause(0.05)
        else:
            raise Refused(refusal)

    # ---- Commit requests

    def open_session(self):
        opened = self.until_answered(
            "open_session", lambda: OpenSessionRequest(cluster=self.cluster, group=self.group))
        return Session(self.group, opened.client, opened.birth_us)

    def send_once(self, commit):
        """COMMITTED or ABORTED of this attempt, and the Ending; UNKNOWN: send again. Raises Refused."""
        self.leader()
        request = commit.request(self.cluster, self.epoch)
        commit.sends += 1
        try:
            reply = self.send(commit.method, request)
        except NotSent:
            return Outcome.UNKNOWN, None
        except Lost:
            commit.maybe = True
            return Outcome.UNKNOWN, None
        if reply.token != commit.token or reply.attempt != commit.attempt:
            commit.maybe = True  # an answer to something else
            self._forget_leader()
            return Outcome.UNKNOWN, None
        if reply.refusal is not None:
            if reply.refusal.code == RefusalCode.INVALID and commit.method == "commit" and commit.mistakes:
                commit.mistakes = None  # "`detail` says what to change. An open transaction stays open"
            else:
                self._take_refusal(reply.refusal, request.tag.sent_to)
            return Outcome.UNKNOWN, None
        ending = reply.ending
        commit.session.note_birth(ending.birth_us)
        if ending.outcome in (Outcome.COMMITTED, Outcome.ABORTED):
            self.unknown_committed += commit.unknown and ending.outcome == Outcome.COMMITTED
            commit.maybe = commit.unknown = False
            commit.note_age(ending.age)
            self._told(commit, ending)
        else:
            commit.maybe = commit.unknown = True
            self.unknown += 1
            self.why = f"UNKNOWN: {ending.detail}"
            if ending.reason == AbortReason.TOKEN_EXPIRED:
                return None, ending  # forgotten: never to be known
            self._pause(0.1)
        return ending.outcome, ending

    def settle(self, commit, sends=None):
        """Sends until COMMITTED or ABORTED of this attempt is told, or so often; then UNKNOWN. The outcome and, where
        there was one, the Ending. Raises Refused where surely nothing was done."""
        while True:
            try:
                outcome, ending = self.send_once(commit)
            except Refused:
                if commit.maybe:
                    return Outcome.UNKNOWN, None  # for good: an unanswered send may have been run
                raise
            if outcome in (Outcome.COMMITTED, Outcome.ABORTED):
                return outcome, ending
            if outcome is None:
                return Outcome.UNKNOWN, ending
            if sends is not None and commit.sends >= sends and commit.maybe:
                return Outcome.UNKNOWN, ending

    # ---- Interactive transactions

    def begin(self, age=None):
        return Transaction(self.until_answered(
            "begin_txn", lambda: BeginRequest(cluster=self.cluster, group=self.group, retry_of=age)))

    def work(self, transaction, operations):
        """The results. Raises Over; Refused, after which it is open as before."""
        while True:
            leader = self.leader()
            if leader.epoch > transaction.txn.epoch:
                raise Over("the group has another leader")
            try:
                reply = self.send("work", WorkRequest(cluster=self.cluster, txn=transaction.txn, operations=operations,
                                                       key=transaction.key))
            except NotSent:
                continue
            except Lost as error:
                self.rollback(transaction)
                raise Over(f"work unanswered: {error}") from error
            if reply.txn != transaction.txn:
                self._forget_leader()
                self.rollback(transaction)
                raise Over("an answer to something else")
            transaction.shards = reply.shards or transaction.shards
            if reply.ending is not None:
                if reply.ending.outcome == Outcome.UNKNOWN:
                    self.rollback(transaction)
                raise Over(reply.ending.detail, reply.ending)
            if reply.refusal is None:
                return reply.results
            if reply.refusal.code == RefusalCode.NO_SUCH_TXN:
                raise Over(reply.refusal.detail)
            self._take_refusal(reply.refusal)

    def rollback(self, transaction):
        """Repeated until it is answered, or the group has a higher epoch, in which the transaction is gone."""
        while self.leader().epoch <= transaction.txn.epoch:
            try:
                reply = self.send("rollback", RollbackRequest(cluster=self.cluster, txn=transaction.txn,
                                                               key=transaction.key))
            except (NotSent, Lost):
                continue
            if reply.txn != transaction.txn:
                self._forget_leader()
            elif reply.refusal is None or reply.refusal.code == RefusalCode.NO_SUCH_TXN:
                return
            else:
                self._take_refusal(reply.refusal)

    def close(self):
        self._forget_leader()
