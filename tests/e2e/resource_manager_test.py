"""A resource manager that is down, refuses, is slow or does not commit: what clients and operators are told, and that
work which does not name it goes on. And one that remembers a cluster which was made anew under the same name."""

import os
import shutil
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from local import DEADLINE  # noqa: E402
from nodes import Nodes  # noqa: E402

from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolFactory  # noqa: E402
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol  # noqa: E402
from thrift.server.TServer import TThreadedServer  # noqa: E402
from thrift.TMultiplexedProcessor import TMultiplexedProcessor  # noqa: E402
from thrift.transport import TSocket, TTransport  # noqa: E402

from assent_wire import Participant, TransactionManager  # noqa: E402
from assent_wire.ttypes import (AbortReason, CommitTag, ExecuteRequest, FinishReply, ForeignWork,  # noqa: E402
                                OpenSessionRequest, Operation, OperationKind, Outcome, ParticipantStatus, PrepareReply,
                                RecoverReply, Token, TxnId, Vote, WhereIsRequest)

OK = ParticipantStatus.OK
EPOCHS_SINCE = 1_577_836_800  # 2020


class Bank:
    """In memory. The test decides its answer to a prepare or a commit: (status, vote or done, detail)."""

    def __init__(self, port):
        self.lock = threading.Lock()
        self.votes, self.commits = (OK, Vote.YES, ""), (OK, True, "")
        self.states = {}  # id -> "prepared", "committed", "aborted"
        processor = TMultiplexedProcessor()
        processor.registerProcessor("Participant", Participant.Processor(self))
        server = TThreadedServer(processor, TSocket.TServerSocket(host="127.0.0.1", port=port),
                                 TTransport.TFramedTransportFactory(), TBinaryProtocolFactory(), daemon=True)
        threading.Thread(target=server.serve, daemon=True).start()

    def committed(self):
        with self.lock:
            return sum(state == "committed" for state in self.states.values())

    def prepare(self, request):
        key = (request.txn.group, request.txn.epoch, request.txn.seq)
        with self.lock:
            status, vote, detail = self.votes
            known = self.states.get(key)
            if known is not None:
                vote = Vote.NO if known == "aborted" else Vote.YES
            elif status == OK and vote == Vote.YES:
                self.states[key] = "prepared"
            return PrepareReply(status, detail, request.txn, vote)

    def commit(self, request):
        with self.lock:
            status, done, detail = self.commits
            if status == OK and done:
                self.states[(request.txn.group, request.txn.epoch, request.txn.seq)] = "committed"
            return FinishReply(status, detail, request.txn, done)

    def rollback(self, request):
        with self.lock:
            self.states[(request.txn.group, request.txn.epoch, request.txn.seq)] = "aborted"
            return FinishReply(OK, "", request.txn, True)

    def recover(self, request):
        with self.lock:
            held = sorted(key for key, state in self.states.items() if state == "prepared" and key[0] == request.group)
            return RecoverReply(OK, "", [TxnId(*key) for key in held], False)


class Session:
    """One connection, one session, no retries."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        handle = TSocket.TSocket(host, int(port))
        handle.setTimeout(1000 * DEADLINE)
        self.transport = TTransport.TFramedTransport(handle)
        self.transport.open()
        self.client = TransactionManager.Client(
            TMultiplexedProtocol(TBinaryProtocol(self.transport), "TransactionManager"))
        where = self.client.where_is(WhereIsRequest(cluster=""))
        self.cluster, self.leader = where.cluster, where.leaders[0]
        opened = self.client.open_session(OpenSessionRequest(cluster=self.cluster, group=self.leader.group))
        self.token = Token(group=self.leader.group, client=opened.client, seq=0, birth_us=opened.birth_us)

    def put(self, *keys, foreign=()):
        """The Ending."""
        self.token.seq += 1
        tag = CommitTag(token=self.token, sent_to=self.leader.epoch, attempt=1, acked_below=0)
        operations = [Operation(kind=OperationKind.PUT, key=key.encode(), value=b"v") for key in keys]
        works = [ForeignWork(resource_manager=name, payload=b"x") for name in foreign]
        reply = self.client.execute(ExecuteRequest(cluster=self.cluster, group=self.leader.group, tag=tag,
                                                   operations=operations, foreign=works))
        assert reply.ending is not None, reply.refusal
        return reply.ending


class ResourceManagerTest(unittest.TestCase):
    KEYS = [f"key/{i}" for i in range(32)]  # on both shards

    def setUp(self):
        self.nodes = Nodes("resource_manager", groups={"c1": ["n1"], "s1": ["n1"], "s2": ["n2"]}, count=2)
        self.addCleanup(lambda: self.nodes.close(keep=self.failed()))
        self.bank_port = self.nodes.ports.first + 6
        self.plain = {}
        for name in ("n1", "n2"):
            with open(self.nodes.path(f"{name}.toml"), "r+") as file:
                self.plain[name] = file.read()
                file.write(f'[[resource_managers]]\nname = "bank"\naddress = "127.0.0.1:{self.bank_port}"\n')
        self.nodes.start_all()

    def failed(self):
        result = self._outcome.result
        return any(test is self for test, _ in result.failures + result.errors)

    def session(self):
        session = Session(self.nodes.addresses[0])
        self.addCleanup(session.transport.close)
        return session

    def aborted(self, ending, reason, detail):
        self.assertEqual((ending.outcome, ending.reason), (Outcome.ABORTED, reason), ending)
        self.assertRegex(ending.detail, detail)
        self.assertEqual(ending.age.txn, ending.txn)  # for the next attempt's place in line

    def test_a_vote_that_does_not_come_is_told_as_aborted_with_its_reason(self):
        session = self.session()
        # Nobody listens.
        self.aborted(session.put("row", foreign=["bank"]), AbortReason.VOTE_TIMEOUT,
                     rf"^resource manager bank did not vote within \d+(\.\d)? s: cannot connect to "
                     rf"127\.0\.0\.1:{self.bank_port}: ")
        self.assertEqual(session.put("row").outcome, Outcome.COMMITTED)
        bank = Bank(self.bank_port)
        self.nodes.await_that("the bank takes part", lambda: session.put("row", foreign=["bank"]).outcome ==
                              Outcome.COMMITTED)
        bank.votes = (ParticipantStatus.INVALID, Vote.NO, "account 'bobb' does not exist")
        self.aborted(session.put("row", foreign=["bank"]), AbortReason.FOREIGN_REFUSED,
                     "^bank: found the request invalid: account 'bobb' does not exist$")
        bank.votes = (OK, Vote.NO, "no funds")
        self.aborted(session.put("row", foreign=["bank"]), AbortReason.FOREIGN_REFUSED, "^bank: no funds$")
        bank.votes = (ParticipantStatus.UNAVAILABLE, Vote.NO, "the database restarts")
        self.aborted(session.put("row", foreign=["bank"]), AbortReason.VOTE_TIMEOUT,
                     r"^resource manager bank did not vote within \d+(\.\d)? s: unavailable: the database restarts$")
        self.nodes.await_line("n1", "resource manager bank does not vote on ")
        # One of our own.
        self.nodes.kill("n2")
        self.aborted(session.put(*self.KEYS), AbortReason.VOTE_TIMEOUT, r"^shard s2 did not vote within \d+(\.\d)? s$")
        code, _, err = self.nodes.run("exec", *(f"put {key} w" for key in self.KEYS))
        self.assertEqual(code, 3, err)  # the next attempt is not begun where its end would not be heard
        self.assertIn("shard s2 did not vote", err)

    def test_a_commit_that_is_not_done_is_shown_and_stops_nobody_else(self):
        bank = Bank(self.bank_port)
        bank.commits = (ParticipantStatus.UNAVAILABLE, False, "disk full")
        session = self.session()
        ending = session.put("row", foreign=["bank"])
        self.assertEqual(ending.outcome, Outcome.COMMITTED)
        txn = f"c1.{ending.txn.epoch}.{ending.txn.seq:x}"

        def shown():
            _, out, _ = self.nodes.run("txn", "show", txn)
            return "disk full" in out
        self.nodes.await_that("the reason is shown", shown)
        self.nodes.await_line("n1", f"resource manager bank does not commit {txn}, as was decided: unavailable: disk full")
        self.assertEqual(session.put("row").outcome, Outcome.COMMITTED)
        # A node whose configuration does not name it says so.
        self.nodes.stop("n1")
        with open(self.nodes.path("n1.toml")) as file:
            whole = file.read()
        with open(self.nodes.path("n1.toml"), "w") as file:
            file.write(self.plain["n1"])
        self.nodes.start("n1")
        self.nodes.await_line("n1", "no resource manager of this name is configured on this node")
        self.nodes.stop("n1")
        with open(self.nodes.path("n1.toml"), "w") as file:
            file.write(whole)
        bank.commits = (OK, True, "")
        self.nodes.start("n1")
        self.nodes.await_that("it commits", lambda: bank.committed() == 1)

    def test_a_cluster_made_anew_gives_no_id_that_is_remembered(self):
        bank = Bank(self.bank_port)
        for committed in (3, 7):
            session = self.session()
            while bank.committed() < committed:
                before = bank.committed()
                self.assertEqual(session.put("row", foreign=["bank"]).outcome, Outcome.COMMITTED)
                self.nodes.await_that("the bank commits", lambda: bank.committed() == before + 1)
            if committed == 7:
                break
            self.nodes.kill("n1", "n2")
            for name in ("n1", "n2", "directory"):
                shutil.rmtree(self.nodes.path(name))
            # Epochs begin at the second of the directory's birth, and the next birth must be a later one.
            self.nodes.await_that("time goes on", lambda: time.time() > EPOCHS_SINCE + session.leader.epoch + 1)
            self.nodes.start_all()


if __name__ == "__main__":
    unittest.main()
