"""The wire's contract, held by a client written from thrift/assent.thrift alone (idl_client.py): what its comments
promise, one by one, and, while nodes are killed and answers lost, that nothing that was told is ever contradicted.

ASSENT_IDL_SECONDS: how long nodes are killed; 300 is a full run. ASSENT_E2E_SEED: of what is drawn."""

import copy
import logging
import os
import random
import signal
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from thrift.protocol.TBinaryProtocol import TBinaryProtocol  # noqa: E402
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol  # noqa: E402
from thrift.transport import TSocket, TTransport  # noqa: E402

from assent_wire import Admin  # noqa: E402
from assent_wire.constants import IDLE_MS, LIFE_MS  # noqa: E402
from assent_wire.ttypes import (AbortReason, AdminRequest, ArmCrashRequest, BeginRequest, RefusalCode,  # noqa: E402
                                RollbackRequest, TxnId, WorkRequest)
from idl_client import (Client, Commit, Over, Transaction, absent, add, exists, get, has_version, put,  # noqa: E402
                        remove)
from idl_workload import ABORTED, ACCOUNTS, COMMITTED, OPENING, UNKNOWN, Book, Worker, account, audit  # noqa: E402
from local import DEADLINE, ClusterTest  # noqa: E402
from lossy_proxy import LossyProxy  # noqa: E402
from nodes import Nodes  # noqa: E402

logging.getLogger("thrift").setLevel(logging.CRITICAL)  # of nodes that do not listen
SECONDS = float(os.environ.get("ASSENT_IDL_SECONDS", "40"))
SEED = int(os.environ.get("ASSENT_E2E_SEED", random.randrange(1 << 32)))
THREADS = 8
C1, C2, S1, S2 = 65537, 65538, 131073, 131074
DAY_US = 86_400_000_000


class UnderFaults(ClusterTest):
    @classmethod
    def new_cluster(cls):
        nodes = Nodes("idl_client", {"c1": ["n1", "n2", "n3"], "c2": ["n3", "n1"], "s1": ["n2", "n3"],
                                     "s2": ["n1", "n2"]})
        nodes.start_all()
        return nodes

    def setUp(self):
        print(f"ASSENT_E2E_SEED={SEED}")
        self.random = random.Random(SEED)
        self.proxy = LossyProxy(self.cluster.addresses, SEED)
        self.addCleanup(self.proxy.close)

    def test_nothing_that_was_told_is_contradicted(self):
        book, stop, abandon = Book(), threading.Event(), threading.Event()
        client = Client(self.cluster.addresses)
        client.leader()
        self.assertEqual(client.settle(Commit(client.open_session()).execute(
            [put(account(i), b"%d" % OPENING) for i in range(ACCOUNTS)]))[0], COMMITTED)
        workers = [Worker(i, book, self.cluster.addresses, C1 if i < THREADS // 2 else C2, self.proxy.route, stop,
                          abandon, SEED + i) for i in range(THREADS)]
        for worker in workers:
            worker.start()
        try:
            kills = self.kill(book, time.monotonic() + SECONDS)
            self.proxy.rate = 0
            stop.set()
            deadline = time.monotonic() + DEADLINE
            for worker in workers:
                worker.join(max(0, deadline - time.monotonic()))
            self.assertEqual([f"{worker.name} still asks: {[c.why for c in worker.clients]}" for worker in workers
                              if worker.is_alive()], [])
            rows = audit(book, client)
        finally:
            stop.set()
            abandon.set()
            for worker in workers:
                worker.join()
            client.close()
        lost, unknown, committed = (sum(getattr(client, what) for worker in workers for client in worker.clients)
                                    for what in ("lost", "unknown", "unknown_committed"))
        print(f"  {SECONDS:.0f} s, {len(book.records)} tokens, {rows} rows; faults of nodes: {kills}\n"
              f"  answers lost {lost}, UNKNOWN {unknown}, of which COMMITTED {committed}; {dict(book.count)}\n"
              f"  the network's: {dict(self.proxy.fates)}")
        self.assertEqual(book.problems[:20], [], f"{len(book.problems)} problems; seed {SEED}")
        self.assertEqual(book.count["unknown, found out later"], book.count["given up unknown"])

    def kill(self, book, until):
        """Nodes die, or stand still, while the clients get on in between."""
        done = {}
        while time.monotonic() < until:
            self.await_progress(book, self.random.randint(1, 60))
            kind = self.random.choice(["one", "one", "one for long", "one for long", "two", "all", "hang", "hang"])
            if kind in ("one for long", "hang"):
                self.cluster.await_whole()
            names = self.random.sample(["n1", "n2", "n3"], {"two": 2, "all": 3}.get(kind, 1))
            if kind == "hang":
                self.cluster.signal(names[0], signal.SIGSTOP)
                self.await_progress(book, 5)
                self.cluster.signal(names[0], signal.SIGCONT)
            else:
                self.cluster.kill(*names)
                if kind == "one for long":
                    self.await_progress(book, 5)  # so another leads
                self.cluster.start(*names)
                self.cluster.await_serving()
            done[kind] = done.get(kind, 0) + 1
        return done

    def await_progress(self, book, commits):
        due, deadline = book.count["COMMITTED"] + commits, time.monotonic() + DEADLINE
        while book.count["COMMITTED"] < due:
            self.assertLess(time.monotonic(), deadline, "nobody gets on")
            self.assertTrue(any(thread.name.startswith("w") for thread in threading.enumerate()), "all clients ended")
            time.sleep(0.01)


class Contract(ClusterTest):
    """One promise of the comments after the other."""

    @classmethod
    def new_cluster(cls):
        nodes = Nodes("idl_contract", {"c1": ["n1", "n2"], "s1": ["n2", "n3"], "s2": ["n3", "n1"]},
                      options=["--allow-crash-points"])
        nodes.start_all()
        return nodes

    def setUp(self):
        self.cluster.await_whole()  # no view changes while nodes are left alone
        self.client = self.new_client()
        self.session = self.client.open_session()
        self.x, self.y = (b"%s/%s" % (self.id().encode(), name) for name in (b"x", b"y"))  # nobody else's

    def new_client(self, dial=lambda address: address):
        deadline = time.monotonic() + DEADLINE
        client = Client(self.cluster.addresses, C1, dial, stopped=lambda: time.monotonic() > deadline)
        self.addCleanup(client.close)
        client.leader()
        return client

    def lossy_client(self):
        """It, and the fates of its next calls."""
        proxy = LossyProxy(self.cluster.addresses, SEED, rate=0)
        self.addCleanup(proxy.close)
        return self.new_client(proxy.route), proxy.next

    def send(self, commit, **changes):
        """One send, with fields of the request or its tag as they are named here; the bare reply."""
        self.client.leader()
        request = commit.request(self.client.cluster, self.client.epoch)
        for name, value in changes.items():
            setattr(request.tag if hasattr(request.tag, name) else request, name, value)
        return self.client.send(commit.method, request)

    def commit(self, *operations, **keywords):
        commit = Commit(self.session, **keywords).execute(list(operations))
        outcome, ending = self.client.settle(commit)
        return commit, outcome, ending

    def refused(self, reply, code, text=""):
        self.assertIsNotNone(reply.refusal, reply)
        self.assertEqual(RefusalCode._VALUES_TO_NAMES[reply.refusal.code], RefusalCode._VALUES_TO_NAMES[code], reply)
        self.assertIn(text, reply.refusal.detail)
        self.assertNotEqual(reply.refusal.detail, "")

    def value(self, key):
        commit = Commit(self.session).execute([get(key)])
        ending = self.until_committed(commit)
        return ending.results[0].rows[0].value if ending.results[0].rows else None

    def until_committed(self, commit):
        """By further attempts: where leaders change, a transaction may be lost on the way."""
        outcome, ending = self.client.settle(commit)
        while outcome == ABORTED:
            commit.attempt += 1
            outcome, ending = self.client.settle(commit)
        self.assertEqual(outcome, COMMITTED)
        return ending

    # ---- What names a commit request

    def test_all_four_fields_are_the_token(self):
        commit, outcome, _ = self.commit(add(self.x, 1))
        self.assertEqual(outcome, COMMITTED)
        token = commit.token
        other = {field: replace(token, **{field: getattr(token, field) + 1}) for field in ("client", "seq", "birth_us")}
        self.refused(self.send(commit, token=other["birth_us"]), RefusalCode.TOKEN_MISMATCH)
        self.refused(self.send(commit, token=replace(token, birth_us=1)), RefusalCode.TOKEN_EXPIRED)
        self.assertTrue(self.send(commit).ending.repeated)
        self.assertEqual(self.value(self.x), b"1")
        # Other tokens: an invented client is taken as it is.
        for field in ("seq", "client"):
            self.assertFalse(self.send(commit, token=other[field]).ending.repeated)
        self.assertEqual(self.value(self.x), b"3")

    def test_births_ahead(self):
        commit = Commit(self.session).execute([add(self.x, 1)])
        birth_us = commit.token.birth_us
        self.refused(self.send(commit, token=replace(commit.token, birth_us=birth_us + 8 * DAY_US)),
                     RefusalCode.TOKEN_EXPIRED, "future")
        ahead = replace(commit.token, birth_us=birth_us + 6 * DAY_US)
        self.assertEqual(self.send(commit, token=ahead).ending.outcome, COMMITTED)

    def test_content_is_the_operations_in_their_order(self):
        commit, outcome, ending = self.commit(put(self.x, b"1"), put(self.y, b"1"))
        self.assertEqual(outcome, COMMITTED)
        for same in ({"acked_below": commit.token.seq}, {"retry_of": ending.age}, {"sent_to": self.client.epoch}):
            self.assertTrue(self.send(commit, **same).ending.repeated, same)
        self.refused(self.send(commit, operations=commit.content["operations"][::-1]), RefusalCode.TOKEN_MISMATCH)
        self.refused(self.send(commit, operations=[put(self.x, b"2"), put(self.y, b"1")]), RefusalCode.TOKEN_MISMATCH)

    def test_new_attempt_may_have_other_content(self):
        commit, outcome, ending = self.commit(exists(self.x), put(self.x, b"1"))
        self.assertEqual((outcome, ending.reason), (ABORTED, AbortReason.CHECK_FAILED))
        old = commit.content["operations"]
        commit.attempt = 2
        commit.execute([absent(self.x), put(self.x, b"2")])
        self.assertEqual(self.client.settle(commit)[0], COMMITTED)
        self.assertTrue(self.send(commit).ending.repeated)
        self.refused(self.send(commit, attempt=1, operations=old), RefusalCode.TOKEN_MISMATCH)
        self.assertEqual(self.value(self.x), b"2")

    def test_first_attempt_may_be_a_higher_one(self):
        commit, outcome, _ = self.commit(exists(self.x), attempt=3)
        self.assertEqual(outcome, ABORTED)
        for attempt in (1, 2, 3):
            self.assertEqual(self.send(commit, attempt=attempt, operations=[put(self.x, b"1")]).ending.outcome, ABORTED)
        self.assertEqual(self.send(commit, attempt=4, operations=[put(self.x, b"4")]).ending.outcome, COMMITTED)
        self.assertEqual(self.value(self.x), b"4")

    def test_reads_alone_are_read_again(self):
        self.commit(put(self.x, b"1"))
        commit, _, ending = self.commit(get(self.x))
        version = ending.results[0].rows[0].version
        self.commit(put(self.x, b"2"))
        ending = self.send(commit).ending
        self.assertEqual((ending.outcome, ending.repeated), (COMMITTED, False))
        self.assertEqual(ending.results[0].rows[0].value, b"2")
        self.assertGreater(ending.results[0].rows[0].version, version)

    def test_versions_rise_over_a_removal(self):
        def version():
            return self.commit(get(self.x))[2].results[0].rows[0].version
        self.commit(put(self.x, b"1"))
        before = version()
        self.assertEqual(self.commit(has_version(self.x, before), remove(self.x))[1], COMMITTED)
        self.commit(put(self.x, b"1"))
        self.assertGreater(version(), before)
        _, outcome, ending = self.commit(has_version(self.x, before), put(self.x, b"2"))
        self.assertEqual((outcome, ending.reason), (ABORTED, AbortReason.CHECK_FAILED))

    def test_acknowledged_token_is_expired_or_has_its_outcome(self):
        commit, _, _ = self.commit(add(self.x, 1))
        self.session.settle(commit.token)
        self.refused(self.send(commit), RefusalCode.INVALID, "cannot acknowledge itself")
        for _ in range(3):
            self.commit(add(self.y, 1))
            reply = self.send(commit, acked_below=commit.token.seq)
            if reply.refusal is not None:
                self.refused(reply, RefusalCode.TOKEN_EXPIRED)
            else:
                self.assertEqual((reply.ending.outcome, reply.ending.repeated), (COMMITTED, True))
        self.assertEqual(self.value(self.x), b"1")

    # ---- Where to send it

    def test_other_epochs_than_the_leaders(self):
        commit = Commit(self.session).execute([add(self.x, 1)])
        self.client.leader()
        epoch = self.client.epoch
        for sent_to, text in ((epoch - 1, "which is over"), (epoch + 1, "not heard of")):
            reply = self.send(commit, sent_to=sent_to)
            self.refused(reply, RefusalCode.STALE_EPOCH, text)
            self.assertEqual(reply.refusal.epoch, epoch)
        self.client.epoch = epoch - 1  # as one that believes so
        self.assertEqual(self.client.settle(commit)[0], COMMITTED)
        self.assertEqual(self.value(self.x), b"1")

    def test_keys_lie_where_the_formula_says(self):
        ranges = admin(self.cluster.addresses[0], "placement", AdminRequest(cluster="")).ranges
        for key in (b"a", b"accounts/alice", b"{alice}/cart", b"x{alice}{bob}", b"{}x", b"{x", b"}{y}", b"\xff\x00"):
            tag = key
            if b"}" in key[key.find(b"{"):] and b"{" in key:
                tag = key[key.index(b"{") + 1:]
                tag = tag[:tag.index(b"}")] or key
            slot = slot_of(tag)
            shard = [r.shard for r in ranges if r.first <= slot <= r.last]
            alone = self.client.begin()
            self.client.work(alone, [get(key)])
            self.assertEqual(alone.shards, shard, key)
            self.client.rollback(alone)

    # ---- Interactive transactions

    def test_commit_names_the_shards_of_the_work(self):
        keys = self.two_shards()
        for shards in ([], [S1], [S2], [S1, S2, S1 + 5], [S1, S1], [C1]):
            transaction = self.client.begin()
            self.client.work(transaction, [add(key, 1) for key in keys])
            self.assertEqual(sorted(transaction.shards), [S1, S2])
            commit = Commit(self.session).commit(transaction, mistakes=lambda: shards)
            self.refused(self.send(commit), RefusalCode.INVALID, "shard")
            self.client.work(transaction, [get(keys[0])])  # open as it was
            self.assertEqual(self.client.settle(commit.commit(transaction))[0], COMMITTED, shards)
            self.assertTrue(self.send(commit).ending.repeated)
            if C1 not in shards:
                self.assertTrue(self.send(commit, shards=shards).ending.repeated)
        self.assertEqual(self.value(keys[0]), b"6")
        # A refusal of work names them as well.
        transaction = self.client.begin()
        self.client.work(transaction, [get(keys[0])])
        reply = self.send_work(transaction, [put(b"", b"1")])
        self.refused(reply, RefusalCode.INVALID)
        self.assertIn(reply.shards, ([], transaction.shards))
        self.client.rollback(transaction)

    def test_one_call_at_a_time(self):
        older, younger = self.client.begin(), self.client.begin()
        self.client.work(older, [put(self.x, b"1")])
        waiter, results = self.new_client(), []

        def wait():
            try:
                results.append(waiter.work(younger, [get(self.x)]))
            except Over as over:
                results.append(over)
        thread = threading.Thread(target=wait)
        thread.start()
        deadline = time.monotonic() + DEADLINE
        while (reply := self.send_work(younger, [get(self.y)])).refusal is None:
            self.assertLess(time.monotonic(), deadline)
        self.refused(reply, RefusalCode.BUSY)
        self.refused(self.send(Commit(self.session).commit(younger, mistakes=lambda: [S1])), RefusalCode.BUSY)
        self.assertEqual(results, [])
        self.client.rollback(younger)  # "also one whose work is unanswered"
        thread.join()
        self.assertIsInstance(results[0], Over)
        self.assertEqual(self.client.settle(Commit(self.session).commit(older))[0], COMMITTED)

    def test_who_has_not_begun_it_does_not_see_it(self):
        transaction = self.client.begin()
        self.client.work(transaction, [put(self.x, b"1")])
        key, txn = transaction.key, transaction.txn
        self.assertNotEqual(key, 0)
        never = TxnId(group=C1, epoch=txn.epoch, seq=txn.seq + 1000)
        for wrong in ({"key": key + 1}, {"key": 0}, {"txn": never}):
            for name, value in wrong.items():
                setattr(transaction, name, value)
            self.refused(self.send_work(transaction, [get(self.x)]), RefusalCode.NO_SUCH_TXN)
            self.refused(self.send(Commit(self.session).commit(transaction)), RefusalCode.NO_SUCH_TXN)
            reply = self.client.send("rollback", RollbackRequest(cluster=self.client.cluster, txn=transaction.txn,
                                                                  key=transaction.key))
            self.refused(reply, RefusalCode.NO_SUCH_TXN)
            transaction.key, transaction.txn = key, txn
        self.assertEqual(self.client.settle(Commit(self.session).commit(transaction))[0], COMMITTED)

    def test_ended_transactions(self):
        transaction = self.client.begin()
        self.client.work(transaction, [put(self.x, b"1")])
        self.client.rollback(transaction)
        reply = self.send_work(transaction, [put(self.x, b"2")])
        if reply.refusal is not None:
            self.refused(reply, RefusalCode.NO_SUCH_TXN)
        else:
            self.assertEqual(reply.ending.outcome, ABORTED)
        reply = self.send(Commit(self.session).commit(transaction))
        self.assertEqual(reply.ending.outcome, ABORTED, reply)
        self.client.rollback(transaction)
        self.assertIsNone(self.value(self.x))

    def test_times_of_begin_and_the_end_of_an_idle_one(self):
        begun = self.client.until_answered("begin_txn", lambda: BeginRequest(cluster=self.client.cluster, group=C1))
        self.assertEqual((begun.idle_ms, begun.life_ms), (IDLE_MS, LIFE_MS))
        transaction = Transaction(begun)
        self.client.work(transaction, [put(self.x, b"idle")])
        # Waits for the lock, until that idles out.
        self.until_committed(Commit(self.session).execute([put(self.x, b"1")]))
        reply = self.send(Commit(self.session).commit(transaction))
        self.assertEqual((reply.ending.outcome, reply.ending.reason), (ABORTED, AbortReason.EXPIRED))
        self.assertEqual(self.value(self.x), b"1")

    # ---- Lost answers

    def test_lost_answers_of_begin_work_and_rollback(self):
        client, fates = self.lossy_client()
        for loss in ("request lost", "reply lost", "half a reply"):
            fates.append(loss)
            transaction = client.begin()  # called again
            client.work(transaction, [put(self.x, b"1")])
            fates.append(loss)
            with self.assertRaises(Over):  # not repeated, but rolled back
                client.work(transaction, [put(self.y, b"1")])
            again = client.begin()
            client.work(again, [put(self.x, b"1"), put(self.y, b"1")])  # so nobody holds the locks
            fates.append(loss)
            client.rollback(again)
            self.assertEqual(self.commit(put(self.x, b"2"), absent(self.y))[1], COMMITTED, loss)
        self.assertEqual(client.lost, 9)

    def test_lost_answers_of_commits(self):
        client, fates = self.lossy_client()
        for i, loss in enumerate(("request lost", "reply lost", "half a reply"), 1):
            fates.append(loss)
            outcome, ending = client.settle(Commit(self.session).execute([add(self.x, 1)]))
            self.assertEqual((outcome, ending.repeated), (COMMITTED, loss != "request lost"))
            transaction = client.begin()
            client.work(transaction, [add(self.y, 1)])
            fates.append(loss)
            outcome, ending = client.settle(Commit(self.session).commit(transaction))
            self.assertEqual((outcome, ending.repeated), (COMMITTED, loss != "request lost"))
            self.assertEqual((self.value(self.x), self.value(self.y)), (b"%d" % i, b"%d" % i))

    # ---- Leaders that go

    def test_leader_that_hangs(self):
        leader = f"n{self.client.leader().node}"
        self.cluster.signal(leader, signal.SIGSTOP)
        began = time.monotonic()
        try:
            self.until_committed(Commit(self.session).execute([add(self.x, 1)]))
            print(f"  the next leader answered after {time.monotonic() - began:.1f} s")
            self.assertNotEqual(f"n{self.client.leader().node}", leader)
            self.assertEqual(self.value(self.x), b"1")
        finally:
            self.cluster.signal(leader, signal.SIGCONT)

    def test_leader_that_dies_in_the_middle(self):
        oldest = self.client.begin()
        commit = Commit(self.session)
        commit.note_age(oldest.age)
        self.client.work(oldest, [add(self.x, 1)])
        leader = f"n{self.client.leader().node}"
        self.cluster.kill(leader)
        self.addCleanup(self.start_if_down, leader)
        commit.commit(oldest)
        outcome, ending = self.client.settle(commit)
        self.assertEqual(outcome, ABORTED, "it was not decided: the shards said so")
        if ending.age is not None:
            self.assertEqual(ending.age, oldest.age, "a new age would lose its place in line")
        self.assertEqual(commit.age, oldest.age)
        self.refused(self.send_work(oldest, [get(self.x)]), RefusalCode.NO_SUCH_TXN)
        self.refused(self.client.send("rollback", RollbackRequest(cluster=self.client.cluster, txn=oldest.txn,
                                                                  key=oldest.key)), RefusalCode.NO_SUCH_TXN)
        commit.attempt = 2
        while outcome == ABORTED:
            again = self.client.begin(commit.age)
            self.assertEqual(again.age, oldest.age)
            try:
                self.client.work(again, [add(self.x, 1)])
            except Over:
                continue
            outcome, _ = self.client.settle(commit.commit(again))
            commit.attempt += outcome == ABORTED
        self.assertEqual(outcome, COMMITTED)
        self.assertEqual(self.value(self.x), b"1")

    def test_commit_that_its_leader_did_not_live_to_tell(self):
        for i, named in enumerate(([], [S1, S2], "another"), 1):
            self.cluster.await_whole()
            transaction = self.client.begin()
            self.client.work(transaction, [add(self.x, 1)])
            commit = Commit(self.session).commit(transaction)
            leader = self.client.leader()
            admin(leader.address, "arm_crash", ArmCrashRequest(cluster=self.client.cluster,
                                                               point="coordinator.before-answer", count=1))
            self.assertEqual(self.client.settle(commit, sends=1)[0], UNKNOWN)
            self.cluster.kill(f"n{leader.node}")  # reaps it
            self.addCleanup(self.start_if_down, f"n{leader.node}")
            if named == "another":
                named = [S1 + S2 - transaction.shards[0]]
            commit.mistakes = lambda: named
            outcome, ending = self.client.settle(commit)
            self.assertEqual((outcome, ending.repeated), (COMMITTED, True), named)
            self.assertEqual(self.value(self.x), b"%d" % i)
            self.start_if_down(f"n{leader.node}")

    def start_if_down(self, name):
        if name not in self.cluster.processes:
            self.cluster.start(name)

    def two_shards(self):
        """A key on each."""
        found, i = {}, 0
        while len(found) < 2:
            transaction = self.client.begin()
            key = self.x + b"%d" % i
            self.client.work(transaction, [get(key)])
            found.setdefault(transaction.shards[0], key)
            self.client.rollback(transaction)
            i += 1
        return list(found.values())

    def send_work(self, transaction, operations):
        return self.client.send("work", WorkRequest(cluster=self.client.cluster, txn=transaction.txn,
                                                     operations=operations, key=transaction.key))


def replace(token, **changes):
    token = copy.copy(token)
    for name, value in changes.items():
        setattr(token, name, value)
    return token


def slot_of(tag):
    """FNV-1a, and h(x) = (x xor x >> 32) mod 1024."""
    x = 0xCBF29CE484222325
    for byte in tag:
        x = (x ^ byte) * 0x100000001B3 % (1 << 64)
    return (x ^ x >> 32) % 1024


def admin(address, method, request):
    host, _, port = address.rpartition(":")
    transport = TTransport.TFramedTransport(TSocket.TSocket(host, int(port)))
    transport.open()
    try:
        client = Admin.Client(TMultiplexedProtocol(TBinaryProtocol(transport), "Admin"))
        return getattr(client, method)(request)
    finally:
        transport.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
