#!/usr/bin/python3
"""The ledger of examples/ledger with one promise of a participant broken.

  PYTHONPATH=build/python tests/e2e/bad_participant.py --fault NAME --journal FILE --cluster ID --port N

Without --fault it is the ledger. A fault lies where such a mistake is made: in the journal, in the state machine, or
between it and the wire.
"""

import argparse
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "ledger"))

import ledger as ledger_module  # noqa: E402
from journal import Journal  # noqa: E402
from ledger import ABORTED, COMMITTED, PREPARED, Ledger, Refused  # noqa: E402

from assent_wire import Participant  # noqa: E402
from assent_wire.ttypes import (FinishReply, ParticipantStatus, PrepareReply, RecoverReply, TxnId, Vote)  # noqa: E402
from thrift.server import TServer  # noqa: E402

OK = ParticipantStatus.OK
LOCK_TIMEOUT = 1.0
TIMES_OUT = 3.0  # seconds after which the impatient one rolls back


def key(txn):
    return (txn.group, txn.epoch, txn.seq)


# ---- Journals: what is said before it is on disk

class Lazy(Journal):
    """Records of a kind reach the disk half a second late, or with the next record of another kind."""

    KIND = PREPARED

    def __init__(self, path):
        self._lock = threading.Lock()
        self._late = []
        super().__init__(path)

    def append(self, record):
        with self._lock:
            if record["kind"] == self.KIND:
                self._late.append(record)
                threading.Timer(0.5, self._flush).start()
                return
            self._write_late()
            super().append(record)

    def _flush(self):
        with self._lock:
            self._write_late()

    def _write_late(self):
        for record in self._late:
            super().append(record)
        self._late = []


class CommitsInMemory(Journal):
    def append(self, record):
        if record["kind"] != COMMITTED:
            super().append(record)


class ForgetsEnds(Journal):
    """As one that deletes what has ended when it starts."""

    def records(self):
        ended = {tuple(r["txn"]) for r in super().records() if r["kind"] in (COMMITTED, ABORTED)}
        return [r for r in super().records() if tuple(r.get("txn", ())) not in ended]


# ---- State machines

class WithoutLocks(Ledger):
    def _free(self, txn, moves):
        return True


class RefusesRepeatedPrepare(Ledger):
    def prepare(self, txn, payload):
        with self._changed:
            if self._state(txn) in (PREPARED, COMMITTED):
                raise Refused("seen before")
            super().prepare(txn, payload)


class PreparesAgainAfterCommit(Ledger):
    def prepare(self, txn, payload):
        with self._changed:
            if self._state(txn) == COMMITTED:
                self.transactions.pop(txn)
        super().prepare(txn, payload)


class RefusesRepeatedCommit(Ledger):
    def commit(self, txn):
        with self._changed:
            return "committed before" if self._state(txn) == COMMITTED else super().commit(txn)


class RefusesRepeatedRollback(Ledger):
    def rollback(self, txn):
        with self._changed:
            return "rolled back before" if self._state(txn) == ABORTED else super().rollback(txn)


class LeavesNoMark(Ledger):
    def rollback(self, txn):
        return None if self._state(txn) is None else super().rollback(txn)


class RefusesEarlyRollback(Ledger):
    def rollback(self, txn):
        return "no such transaction" if self._state(txn) is None else super().rollback(txn)


class ForgetsRollback(Ledger):
    """Its mark of a rollback does not refuse a prepare."""

    def prepare(self, txn, payload):
        with self._changed:
            if self._state(txn) == ABORTED:
                self.transactions.pop(txn)
        super().prepare(txn, payload)


class MarksInMemory(Ledger):
    def rollback(self, txn):
        with self._changed:
            if self._state(txn) is None:
                self.transactions[txn] = (ABORTED, [])
                return None
        return super().rollback(txn)


class CommitsUnknown(Ledger):
    def commit(self, txn):
        return None if self._state(txn) is None else super().commit(txn)


class RollsBackCommitted(Ledger):
    def rollback(self, txn):
        return None if self._state(txn) == COMMITTED else super().rollback(txn)


class CommitsRolledBack(Ledger):
    def commit(self, txn):
        return None if self._state(txn) == ABORTED else super().commit(txn)


class ListsOtherGroups(Ledger):
    def prepared(self, group):
        return sorted(t for t, (state, _) in self.transactions.items() if state == PREPARED)


class ListsAsText(Ledger):
    def prepared(self, group):
        return sorted(super().prepared(group), key=lambda txn: [str(part) for part in txn])


class ListsNothing(Ledger):
    def prepared(self, group):
        return []


class WaitsWithItsLock(Ledger):
    def prepare(self, txn, payload):
        with self._changed:
            until = time.monotonic() + LOCK_TIMEOUT
            while not self._free(txn, self._parse(payload)) and time.monotonic() < until:
                time.sleep(0.01)
            if not self._free(txn, self._parse(payload)):
                raise Refused("an account is in use by another transaction")
            super().prepare(txn, payload)


class TimesOut(Ledger):
    def prepare(self, txn, payload):
        super().prepare(txn, payload)
        timer = threading.Timer(TIMES_OUT, self.rollback, [txn])
        timer.daemon = True
        timer.start()


# ---- Between state machine and wire

class Wrapper:
    def __init__(self, handler, cluster):
        self.inner, self.cluster = handler, cluster

    def prepare(self, request):
        return self.inner.prepare(request)

    def commit(self, request):
        return self.inner.commit(request)

    def rollback(self, request):
        return self.inner.rollback(request)

    def recover(self, request):
        return self.inner.recover(request)


class TakesAnyCluster(Wrapper):
    def __getattribute__(self, name):
        if name not in ("prepare", "commit", "rollback", "recover"):
            return super().__getattribute__(name)

        def call(request):
            request.cluster = self.cluster
            return getattr(self.inner, name)(request)
        return call


class TakesIncomplete(Wrapper):
    def prepare(self, request):
        return super().prepare(request) if request.txn.seq else PrepareReply(OK, "", request.txn, Vote.YES)

    def commit(self, request):
        return super().commit(request) if request.txn.seq else FinishReply(OK, "", request.txn, True)

    def rollback(self, request):
        return super().rollback(request) if request.txn.seq else FinishReply(OK, "", request.txn, True)


class EchoesWrongly(Wrapper):
    def prepare(self, request):
        reply = super().prepare(request)
        reply.txn = TxnId(request.txn.group, request.txn.epoch, request.txn.seq + 1)
        return reply


class EchoesNothing(Wrapper):
    def commit(self, request):
        reply = super().commit(request)
        reply.txn = None
        return reply


class CutsIds(Wrapper):
    """Keeps a part of each id only, and remembers to whom it belonged last."""

    def __init__(self, handler, cluster):
        super().__init__(handler, cluster)
        self.whole = {}

    def short(self, txn):
        return TxnId(txn.group, txn.epoch & 0xFFFFFFFF, txn.seq)

    def call(self, method, request):
        whole, request.txn = request.txn, self.short(request.txn)
        if method == self.inner.prepare:
            self.whole[key(request.txn)] = whole
        reply = method(request)
        reply.txn = whole
        return reply

    def prepare(self, request):
        return self.call(self.inner.prepare, request)

    def commit(self, request):
        return self.call(self.inner.commit, request)

    def rollback(self, request):
        return self.call(self.inner.rollback, request)

    def recover(self, request):
        group, after = request.group, request.after
        request.after = None
        request.group = self.short(TxnId(group, 1, 1)).group
        reply = self.inner.recover(request)
        found = sorted(key(self.whole[key(txn)]) for txn in reply.prepared)
        reply.prepared = [TxnId(*one) for one in found if one[0] == group and (after is None or one > key(after))]
        return reply


class IgnoresGroups(CutsIds):
    def short(self, txn):
        return TxnId(65537, txn.epoch, txn.seq)


class IgnoresAfter(Wrapper):
    def recover(self, request):
        request.after = None
        return super().recover(request)


class RefusesOtherClustersWithNo(Wrapper):
    def prepare(self, request):
        reply = super().prepare(request)
        if reply.status == ParticipantStatus.WRONG_CLUSTER:
            reply.status = OK
        return reply


class Fails(Wrapper):
    """Each call ends with an exception."""

    def __getattribute__(self, name):
        if name in ("prepare", "commit", "rollback", "recover"):
            raise RuntimeError("a bug")
        return super().__getattribute__(name)


class VotesNo(Wrapper):
    def prepare(self, request):
        return PrepareReply(OK, "no funds", request.txn, Vote.NO)


class StartsLate(Wrapper):
    def recover(self, request):
        return RecoverReply(ParticipantStatus.UNAVAILABLE, "reads its journal", [], False)


# Journal, state machine, wrapper: one of them in place of the right one.
FAULTS = {
    "yes-before-disk": Lazy, "commits-in-memory": CommitsInMemory, "forgets-ends": ForgetsEnds,
    "no-locks": WithoutLocks, "repeated-prepare": RefusesRepeatedPrepare,
    "prepares-again-after-commit": PreparesAgainAfterCommit, "repeated-commit": RefusesRepeatedCommit,
    "repeated-rollback": RefusesRepeatedRollback, "no-mark": LeavesNoMark, "early-rollback": RefusesEarlyRollback,
    "forgets-rollback": ForgetsRollback, "marks-in-memory": MarksInMemory, "commits-unknown": CommitsUnknown,
    "rolls-back-committed": RollsBackCommitted, "commits-rolled-back": CommitsRolledBack,
    "lists-other-groups": ListsOtherGroups, "lists-as-text": ListsAsText, "lists-nothing": ListsNothing,
    "ignores-after": IgnoresAfter, "waits-with-its-lock": WaitsWithItsLock, "times-out": TimesOut,
    "any-cluster": TakesAnyCluster, "no-to-other-clusters": RefusesOtherClustersWithNo,
    "takes-incomplete": TakesIncomplete, "echoes-wrongly": EchoesWrongly, "echoes-nothing": EchoesNothing,
    "cuts-epochs": CutsIds, "ignores-groups": IgnoresGroups, "one-connection": TServer.TSimpleServer,
    "fails": Fails, "votes-no": VotesNo, "starts-late": StartsLate,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fault", choices=sorted(FAULTS))
    parser.add_argument("--journal", required=True)
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    fault = FAULTS.get(arguments.fault, Ledger)
    journal = fault if issubclass(fault, Journal) else Journal
    state_machine = fault if issubclass(fault, Ledger) else Ledger
    if issubclass(fault, Wrapper):
        right = Participant.Processor.__init__
        Participant.Processor.__init__ = lambda processor, handler: right(processor, fault(handler, arguments.cluster))
    if issubclass(fault, TServer.TServer):
        TServer.TThreadedServer = lambda *parts, daemon: fault(*parts)
    ledger_module.serve(state_machine(journal(arguments.journal), arguments.cluster, LOCK_TIMEOUT), "127.0.0.1",
                        arguments.port)


if __name__ == "__main__":
    main()
