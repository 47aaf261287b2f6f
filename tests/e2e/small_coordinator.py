"""A coordinator in this process, for tests of clients against real databases: one group, its keys in a dictionary, no
log, and never more than one node. It decides as the real one does, keeps outcomes by token, expires what idles, and
writes down what it was told. It does not end branches itself: what a test finds prepared was left so."""

import base64
import contextlib
import socket
import threading
import time

from assent_wire import TransactionManager
from assent_wire.ttypes import (AbortReason, Age, BeginReply, CommitReply, Decision, Ending, EnlistReply, Enlisted,
                                FinishedReply, KeepAliveReply, Leader, OpenSessionReply, OperationKind,
                                OperationResult, Outcome, Refusal, RefusalCode, ResultRow, RollbackReply, TxnId, Vote,
                                WhereIsReply, WorkReply, Xid)
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.TMultiplexedProcessor import TMultiplexedProcessor
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TFramedTransport, TTransportException

GROUP, EPOCH, FORMAT = 65537, 7, 1095978580
CLUSTER = "0f9d2c33-5c1f-4a57-9c64-1f4c0f6f3b7e"


class _Txn:
    def __init__(self, number, life_ms):
        self.id, self.key = TxnId(GROUP, EPOCH, number), 1000 + number
        self.age = Age(number, self.id)
        self.writes, self.enlisted, self.reported = {}, [], {}
        self.heard, self.dies = time.monotonic(), time.monotonic() + life_ms / 1000
        self.decision = self.ending = None


class SmallCoordinator:
    """`resource_managers`: name to kind. All methods of the service are those of the IDL."""

    def __init__(self, resource_managers, idle_ms=10_000, life_ms=60_000):
        self.resource_managers, self.idle_ms, self.life_ms = dict(resource_managers), idle_ms, life_ms
        self.values, self.versions, self.told, self.heuristics = {}, {}, [], []
        self.lost_commits = []  # for each of the next: "request", which is not heard, or "reply"; None: neither
        self.refuse_next = None  # an AbortReason, for the next commit
        self.overloaded = set()  # names of resource managers
        self.before_decision = lambda: None  # run while a commit waits for its answer
        self._txns, self._outcomes, self._clients, self._lock = {}, {}, 0, threading.RLock()
        self._processor = TMultiplexedProcessor()
        self._processor.registerProcessor("TransactionManager", TransactionManager.Processor(self))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        transport = TSocket()
        transport.setHandle(connection)
        protocol = TBinaryProtocol(TFramedTransport(transport))
        with contextlib.suppress(TTransportException), contextlib.closing(transport):
            while True:
                self._processor.process(protocol, protocol)

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which ends the wait of the thread that accepts
        self._listener.close()

    def calls(self, *kinds):
        """What it was told of these kinds, in order."""
        with self._lock:
            return [entry for entry in self.told if entry[0] in kinds]

    def xids(self, txn):
        """Of the branches of the transaction that a client calls `txn`, by resource manager."""
        with self._lock:
            return {one.resource_manager: one.xid for one in self._txns[int(txn.rpartition(".")[2], 16)].enlisted}

    # ---- The service

    def where_is(self, request):
        return WhereIsReply(cluster=CLUSTER, leaders=[Leader(GROUP, EPOCH, 1, self.address)], addresses=[self.address])

    def open_session(self, request):
        with self._lock:
            self._clients += 1
            return OpenSessionReply(client=self._clients, birth_us=time.time_ns() // 1000, epoch=EPOCH)

    def begin_txn(self, request):
        with self._lock:
            number = len(self._txns) + 1
            txn = self._txns[number] = _Txn(number, min(self.life_ms, request.life_ms or self.life_ms))
            self.told.append(("begin", request.life_ms))
            return BeginReply(txn=txn.id, age=request.retry_of or txn.age, key=txn.key, idle_ms=self.idle_ms,
                              life_ms=self.life_ms, enlisted=[])

    def enlist(self, request):
        with self._lock:
            reply, txn = self._open(request, EnlistReply)
            if txn is None:
                return reply
            name = request.resource_manager
            if name not in self.resource_managers:
                reply.refusal = Refusal(RefusalCode.INVALID, f"no resource manager is called {name}")
                return reply
            if name in self.overloaded:
                reply.refusal = Refusal(RefusalCode.OVERLOADED, f"{name} has too many branches that are not ended")
                return reply
            known = next((one for one in txn.enlisted if one.resource_manager == name), None)
            if known is None:
                known = Enlisted(name, len(txn.enlisted) + 1, _xid(txn, name, len(txn.enlisted) + 1),
                                 self.resource_managers[name])
                txn.enlisted.append(known)
            self.told.append(("enlist", name))
            reply.enlisted = known
            return reply

    def keep_alive(self, request):
        with self._lock:
            reply, _ = self._open(request, KeepAliveReply)
            self.told.append(("keep_alive",))
            return reply

    def work(self, request):
        with self._lock:
            reply, txn = self._open(request, WorkReply)
            if txn is not None:
                reply.results, reply.shards = [self._operate(txn, one) for one in request.operations], [131073]
            return reply

    def commit(self, request):
        with self._lock:
            lost = self.lost_commits.pop(0) if self.lost_commits else None
            if lost == "request":
                raise TTransportException(message="as if it had never come")
            self.before_decision()
            reply = CommitReply(token=request.tag.token, attempt=request.tag.attempt)
            name = (request.tag.token.client, request.tag.token.seq)
            if name in self._outcomes:
                reply.ending = self._outcomes[name]
                reply.ending.repeated = True
            else:
                self._decide(request, reply)
                if reply.ending is not None:
                    self._outcomes[name] = reply.ending
            if lost == "reply":
                raise TTransportException(message="as if the network had failed")
            return reply

    def finished(self, request):
        with self._lock:
            txn = self._txns.get(request.txn.seq)
            reply = FinishedReply(txn=request.txn)
            self.told.append(("finished", request.resource_manager, Decision._VALUES_TO_NAMES[request.decision]))
            if (txn is None or txn.key != request.key or txn.decision != request.decision
                    or (request.resource_manager, request.branch) not in [(one.resource_manager, one.branch)
                                                                          for one in txn.enlisted]):
                self.told.append(("CONTRADICTION", request))
            return reply

    def rollback(self, request):
        with self._lock:
            reply, txn = self._open(request, RollbackReply)
            if txn is not None:
                self.told.append(("rollback",))
                self._abort(txn, AbortReason.ROLLED_BACK, "by the client")
            return reply

    # ---- What it decides

    def _open(self, request, kind):
        """An empty reply and the transaction; or what to answer where it has ended, and None."""
        txn, reply = self._txns.get(request.txn.seq), kind(txn=request.txn)
        if txn is None or txn.key != request.key:
            reply.refusal = Refusal(RefusalCode.NO_SUCH_TXN, "never begun")
            return reply, None
        now = time.monotonic()
        if txn.decision is None and (now > txn.dies or now - txn.heard > self.idle_ms / 1000):
            self._abort(txn, AbortReason.EXPIRED, "it idled" if now <= txn.dies else "it lived too long")
        txn.heard = now
        if txn.decision is not None:
            if txn.ending is not None and hasattr(reply, "ending"):
                reply.ending = txn.ending
            else:
                reply.refusal = Refusal(RefusalCode.NO_SUCH_TXN, "it has ended")
            return reply, None
        return reply, txn

    def _abort(self, txn, reason, detail):
        txn.decision = Decision.ABORT
        txn.ending = Ending(outcome=Outcome.ABORTED, txn=txn.id, age=txn.age, reason=reason, detail=detail, results=[],
                            birth_us=0)

    def _decide(self, request, reply):
        opened, txn = self._open(request, EnlistReply)  # for its fields
        if txn is None:
            reply.refusal, reply.ending = opened.refusal, opened.ending
            return
        votes = {one.resource_manager: one for one in request.foreign}
        self.told.append(("commit", {name: Vote._VALUES_TO_NAMES[one.voted] for name, one in votes.items()}))
        branches = {one.resource_manager: one.branch for one in txn.enlisted}
        if any(branches.get(name) != one.branch or one.payload for name, one in votes.items()):
            reply.refusal = Refusal(RefusalCode.INVALID, "a vote for a branch that was not enlisted")
            return
        txn.reported = votes
        unreported = sorted(set(branches) - set(votes))
        refusing = sorted(name for name, one in votes.items() if one.voted not in (Vote.YES, Vote.READ_ONLY))
        if self.refuse_next is not None:
            self._abort(txn, self.refuse_next, "as the test asks for")
            self.refuse_next = None
        elif unreported:
            self._abort(txn, AbortReason.FOREIGN_REFUSED, f"{unreported[0]} was enlisted and did not report")
        elif refusing:
            self._abort(txn, AbortReason.FOREIGN_REFUSED, f"{refusing[0]} voted no")
        else:
            txn.decision = Decision.COMMIT
            for key, value in txn.writes.items():
                self.versions[key] = self.versions.get(key, 0) + 1
                self.values[key] = value
            txn.ending = Ending(outcome=Outcome.COMMITTED, txn=txn.id, age=txn.age, results=[], detail="",
                                repeated=False, birth_us=0, heuristics=list(self.heuristics))
        reply.ending = txn.ending

    def _operate(self, txn, operation):
        key, kind = operation.key, operation.kind
        value = txn.writes.get(key, self.values.get(key))
        if kind == OperationKind.GET:
            version = 0 if key in txn.writes else self.versions.get(key, 0)
            return OperationResult(rows=[] if value is None else [ResultRow(key, value, version)])
        if kind == OperationKind.ADD:
            total = int(value or 0) + operation.delta
            txn.writes[key] = str(total).encode()
            return OperationResult(number=total)
        if kind == OperationKind.PUT:
            txn.writes[key] = operation.value
            return OperationResult()
        raise NotImplementedError(OperationKind._VALUES_TO_NAMES[kind])


def _xid(txn, name, branch):
    gtrid = f"{CLUSTER.replace('-', '')}.c1.{EPOCH:x}.{txn.id.seq:x}".encode()
    bqual = f"{name}.{branch}".encode()
    text = f"{FORMAT}_{base64.b64encode(gtrid).decode()}_{base64.b64encode(bqual).decode()}"
    return Xid(FORMAT, gtrid, bqual, text)
