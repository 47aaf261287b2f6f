#!/usr/bin/python3
"""A resource manager for Assent: a ledger of accounts, in one journal file of its own.

It implements the Participant service of thrift/assent.thrift, and so takes part in transactions beside Assent's own
shards: a transfer changes rows there and accounts here, or neither.

  PYTHONPATH=build/python examples/ledger/ledger.py serve --journal ledger.journal --cluster ID --port 7301
  examples/ledger/ledger.py show --journal ledger.journal

A transaction's payload is JSON, {"moves": [{"account": "alice", "delta": -10}, ...]}. No balance falls below zero.
"""

import argparse
import json
import os
import sys
import threading

from journal import Damaged, Journal

PREPARED, COMMITTED, ABORTED = "prepared", "committed", "aborted"
MOVES_MAX = 1000
RECOVER_MAX = 4096
LIMIT = 1 << 62  # balances stay far from where 64 bits end


class Refused(Exception):
    """The ledger votes no: the text says why."""


class Ledger:
    """The state machine: balances, and what became of each transaction.

          prepare --yes--> PREPARED --commit--> COMMITTED
             |                 |
             no                +----rollback--> ABORTED <--rollback before its prepare--

    Each arrow is one journal record, on disk before its answer leaves. Accounts that a prepared transaction touches
    are locked until it ends; a prepare that needs one waits, up to `lock_timeout` seconds, and then votes no.
    """

    def __init__(self, journal, cluster, lock_timeout=2.0):
        self._journal = journal
        self._lock_timeout = lock_timeout
        self._changed = threading.Condition()  # guards all below
        self.balances = {}
        self.transactions = {}  # (group, epoch, seq) -> [state, moves]
        self._locks = {}  # account -> transaction
        self.cluster = None
        for record in journal.records():
            self._apply(record)
        if self.cluster is None:
            self._write({"kind": "ledger", "cluster": cluster})
        elif cluster is not None and cluster != self.cluster:
            raise Damaged(f"this journal belongs to cluster {self.cluster}, not {cluster}")

    def prepare(self, txn, payload):
        """Returns if the vote is yes; raises Refused if it is no."""
        with self._changed:
            state = self._state(txn)
            if state in (PREPARED, COMMITTED):
                return  # a repetition: the promise stands
            if state == ABORTED:
                raise Refused("rolled back before")
            moves = self._parse(payload)
            if not self._changed.wait_for(lambda: self._free(txn, moves), self._lock_timeout):
                raise Refused("an account is in use by another transaction")
            if self._state(txn) == ABORTED:  # while we waited
                raise Refused("rolled back before")
            if self._state(txn) is not None:
                return
            for account, delta in moves:
                balance = self.balances.get(account, 0) + delta
                if not 0 <= balance <= LIMIT:
                    raise Refused(f"account {account} has {balance - delta}, {-delta} is too much")
            self._write({"kind": PREPARED, "txn": list(txn), "moves": moves})

    def commit(self, txn):
        """None if done; else why not."""
        return self._finish(txn, COMMITTED)

    def rollback(self, txn):
        return self._finish(txn, ABORTED)

    def prepared(self, group):
        with self._changed:
            return sorted(t for t, (state, _) in self.transactions.items() if state == PREPARED and t[0] == group)

    def _finish(self, txn, wanted):
        with self._changed:
            state = self._state(txn)
            if state == wanted:
                return None
            if state is None and wanted == COMMITTED:
                # Without a vote there can be no commit: somebody's memory is wrong, and it is not ours to guess whose.
                return "commit of a transaction that was never prepared here"
            if state not in (None, PREPARED):
                return f"the transaction is {state} here"
            # A rollback that came first leaves its mark, so that the prepare, if it still comes, is refused.
            self._write({"kind": wanted, "txn": list(txn)})
            self._changed.notify_all()
            return None

    def _state(self, txn):
        return self.transactions.get(txn, (None, None))[0]

    def _free(self, txn, moves):
        return self._state(txn) is not None or all(account not in self._locks for account, _ in moves)

    def _write(self, record):
        self._journal.append(record)
        self._apply(record)

    def _apply(self, record):
        kind = record["kind"]
        if kind == "ledger":
            self.cluster = record["cluster"]
            return
        txn = tuple(record["txn"])
        if kind == PREPARED:
            self.transactions[txn] = (PREPARED, record["moves"])
            for account, _ in record["moves"]:
                self._locks[account] = txn
            return
        moves = self.transactions.get(txn, (None, []))[1]
        for account, delta in moves:
            if kind == COMMITTED:
                self.balances[account] = self.balances.get(account, 0) + delta
            self._locks.pop(account, None)
        self.transactions[txn] = (kind, [])

    @staticmethod
    def _parse(payload):
        """Moves as [account, delta], each account once."""
        try:
            sums = {}
            for move in json.loads(payload)["moves"]:
                account, delta = move["account"], move["delta"]
                if not isinstance(account, str) or not account or type(delta) is not int or abs(delta) > LIMIT:
                    raise ValueError("bad move")
                sums[account] = sums.get(account, 0) + delta
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Refused('the payload is not {"moves": [{"account": TEXT, "delta": NUMBER}, ...]}') from None
        if not 0 < len(sums) <= MOVES_MAX:
            raise Refused(f"between 1 and {MOVES_MAX} accounts in one transaction")
        return sorted([account, delta] for account, delta in sums.items())


def serve(ledger, host, port):
    # Needed here only, so that `show` works without the generated code.
    from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory
    from thrift.server.TServer import TThreadedServer
    from thrift.TMultiplexedProcessor import TMultiplexedProcessor
    from thrift.transport import TSocket, TTransport

    from assent_wire import Participant
    from assent_wire.ttypes import (FinishReply, ParticipantStatus, PrepareReply, RecoverReply, TxnId, Vote)

    frame_max = 2 << 20

    class FramedTransport(TTransport.TFramedTransport):
        """With a bound on what a peer can make us allocate; Python's own believes any length."""

        def readFrame(self):
            header = self._TFramedTransport__trans.readAll(4)
            size = int.from_bytes(header, "big")
            if size > frame_max:
                self.close()
                raise TTransport.TTransportException(message=f"frame of {size} bytes")
            self._TFramedTransport__rbuf = TTransport.BufferIO(self._TFramedTransport__trans.readAll(size))

    class FramedFactory:
        def getTransport(self, transport):
            return FramedTransport(transport)

    class Listener(TSocket.TServerSocket):
        def listen(self):
            super().listen()
            bound = self.handle.getsockname()
            print(f"ledger: cluster {ledger.cluster}, listening on {bound[0]}:{bound[1]}", flush=True)

    class Handler:
        def refusal(self, request):
            """(status, detail) unless the request is for us, and whole."""
            if request.cluster != ledger.cluster:
                return ParticipantStatus.WRONG_CLUSTER, f"this ledger belongs to cluster {ledger.cluster}"
            txn = request.txn
            if txn is None or not txn.group or txn.epoch is None or not txn.seq:
                return ParticipantStatus.INVALID, "no transaction id"
            return None

        def prepare(self, request):
            if refusal := self.refusal(request):
                return PrepareReply(*refusal, request.txn, Vote.NO)
            try:
                ledger.prepare(key(request.txn), request.payload or b"")
            except Refused as why:
                return PrepareReply(ParticipantStatus.OK, str(why), request.txn, Vote.NO)
            return PrepareReply(ParticipantStatus.OK, "", request.txn, Vote.YES)

        def finish(self, request, action):
            if refusal := self.refusal(request):
                return FinishReply(*refusal, request.txn, False)
            why_not = action(key(request.txn))
            return FinishReply(ParticipantStatus.OK, why_not or "", request.txn, why_not is None)

        def commit(self, request):
            return self.finish(request, ledger.commit)

        def rollback(self, request):
            return self.finish(request, ledger.rollback)

        def recover(self, request):
            if request.cluster != ledger.cluster:
                return RecoverReply(ParticipantStatus.WRONG_CLUSTER, f"this ledger is {ledger.cluster}'s", [], False)
            found = ledger.prepared(request.group)
            if request.after is not None:
                found = [txn for txn in found if txn > key(request.after)]
            page = [TxnId(*txn) for txn in found[:RECOVER_MAX]]
            return RecoverReply(ParticipantStatus.OK, "", page, len(found) > RECOVER_MAX)

    def key(txn):
        return (txn.group, txn.epoch, txn.seq)

    processor = TMultiplexedProcessor()
    processor.registerProcessor("Participant", Participant.Processor(Handler()))
    protocol = TBinaryProtocolFactory(string_length_limit=1 << 20, container_length_limit=1 << 16)
    TThreadedServer(processor, Listener(host=host, port=port), FramedFactory(), protocol, daemon=True).serve()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("serve", help="take part in transactions")
    run.add_argument("--journal", required=True)
    run.add_argument("--cluster", required=True, help="id of the Assent cluster: `cluster` in its nodes' "
                     "configuration; fixed when the journal is made")
    run.add_argument("--host", default="127.0.0.1")
    run.add_argument("--port", type=int, default=7301, help="0: any free one, printed")
    show = commands.add_parser("show", help="print balances and transactions in doubt as JSON; not while serving")
    show.add_argument("--journal", required=True)
    arguments = parser.parse_args()
    try:
        if arguments.command == "show" and not os.path.exists(arguments.journal):
            sys.exit(f"ledger: {arguments.journal}: no such journal")
        ledger = Ledger(Journal(arguments.journal), getattr(arguments, "cluster", None))
    except (Damaged, OSError) as error:
        sys.exit(f"ledger: {error}")
    if arguments.command == "serve":
        serve(ledger, arguments.host, arguments.port)
    else:
        in_doubt = [list(t) for t, (state, _) in sorted(ledger.transactions.items()) if state == PREPARED]
        print(json.dumps({"cluster": ledger.cluster, "balances": ledger.balances, "in_doubt": in_doubt}, indent=2))


if __name__ == "__main__":
    main()
