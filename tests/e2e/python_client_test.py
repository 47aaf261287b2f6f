"""The Python package (client/python): its operations, what it says about outcomes when answers are lost, its messages
for bad input, many threads, and the installation with pip.

ASSENT_PYTHON_SECONDS: how long the coordinator's node is killed, again and again. ASSENT_E2E_SEED: of what is drawn."""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from unittest import mock

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PACKAGE = os.path.join(ROOT, "client", "python")
sys.path[:0] = [PACKAGE, HERE]

import assent  # noqa: E402
from assent import AbortReason, _connection, _leader  # noqa: E402
from local import DEADLINE, OK, ClusterTest, die_with_parent, new_directory  # noqa: E402
from lossy_proxy import LATE_S, LossyProxy  # noqa: E402
from nodes import Nodes  # noqa: E402

SOME_TOKEN = "c1/100000001/17/64c0f3a1b2d4e"
KIB = 1024
SEED = int(os.environ.get("ASSENT_E2E_SEED", random.randrange(1 << 32)))
SECONDS = float(os.environ.get("ASSENT_PYTHON_SECONDS", "20"))


def lose(test, rate):
    """A proxy, through which all connections go that are made from here on."""
    proxy = LossyProxy(test.cluster.addresses, SEED, rate)
    test.addCleanup(proxy.close)

    class Proxied(_connection.Connection):
        def __init__(self, address):
            super().__init__(proxy.route(address))
    patch = mock.patch.object(_leader, "Connection", Proxied)
    patch.start()
    test.addCleanup(patch.stop)
    return proxy


class PythonClientTest(ClusterTest):
    """Each case has keys of its own."""

    def setUp(self):
        self.prefix = self.id().rpartition(".")[2] + "/"
        self.client = assent.connect(self.cluster.connect)
        self.addCleanup(self.client.close)

    def key(self, name):
        return self.prefix + name

    def values(self, client=None):
        """Of this case, by the rest of the key."""
        return {row.key.decode()[len(self.prefix):]: row.text for row in (client or self.client).scan(self.prefix)}

    def refused(self, pattern, call, *arguments, kind=assent.InvalidRequest, **keywords):
        with self.assertRaisesRegex(kind, pattern) as caught:
            call(*arguments, **keywords)
        return caught.exception

    def aborted(self, reason, call, *arguments, **keywords):
        with self.assertRaises(assent.Aborted) as caught:
            call(*arguments, **keywords)
        self.assertEqual(caught.exception.reason, reason, caught.exception)
        return caught.exception


class Interface(unittest.TestCase):
    def test_abort_reasons_are_those_of_the_idl(self):
        with open(os.path.join(ROOT, "thrift", "assent.thrift")) as file:
            enum = re.search(r"(?s)\nenum AbortReason \{\n(.*?)\n\}", file.read())[1]
        found = {name: (int(number), "ransient" in comment)
                 for name, number, comment in re.findall(r"(?m)^  ([A-Z_]+) = (\d+)(.*)$", enum)}
        del found["TOKEN_EXPIRED"]  # with UNKNOWN only
        self.assertEqual({reason.name: (reason.value, reason.retryable) for reason in AbortReason}, found)


class Operations(PythonClientTest):
    def test_each_operation(self):
        a, b = self.key("a"), self.key("b")
        operations = [
            assent.put(a, "10 apples"), assent.add(a, 5), assent.get(a.encode()), assent.put(b, b"\xff\x00"),
            assent.check(a, exists=True), assent.check(a, value="15 apples"), assent.scan(self.prefix),
            assent.delete(b), assent.get(b), assent.check(b, exists=False)]
        done = self.client.execute(operations)
        while done.repeated:  # a slow machine: it is committed, and its results are lost
            self.assertEqual(done.results, ())
            done = self.client.execute(operations)
        self.assertRegex(done.txn, r"^c1\.\d+\.[0-9a-f]+$")
        self.assertEqual(done.results[1].number, 15)
        self.assertEqual(done.results[2].row, assent.Row(a.encode(), b"15 apples", 0))
        self.assertEqual([row.key for row in done.results[6].rows], [a.encode(), b.encode()])
        self.assertEqual([done.results[i] for i in (0, 3, 4, 5, 7, 8, 9)], [assent.OperationResult()] * 7)

    def test_versions_tell_whether_a_key_changed(self):
        key = self.key("a")
        self.client.put(key, "1")
        read = self.client.get(key)
        self.assertEqual((read.text, read.version > 0), ("1", True))
        self.client.execute([assent.check(key, version=read.version), assent.put(key, "2")])
        error = self.aborted(AbortReason.CHECK_FAILED, self.client.execute,
                             [assent.check(key, version=read.version), assent.put(key, "3")])
        self.assertFalse(error.retryable)
        self.assertIn(key, error.detail)
        self.assertEqual(self.client.get(key).text, "2")

    def test_short_forms(self):
        for delta, total in ((3, 3), (-2, 1), (-1, 0)):
            self.assertIn(self.client.add(self.key("n"), delta, min=0), (total, None))
            self.assertEqual(self.client.get(self.key("n")).text, str(total))
        self.client.delete(self.key("n"))
        self.assertIsNone(self.client.get(self.key("n")))

    def test_a_scan_of_more_than_one_answer_is_whole_and_in_order(self):
        names = [f"{i:02}" for i in range(12)]
        for name in names:
            self.client.put(self.key(name), name * (100 * KIB))
        self.assertEqual(list(self.values()), names)
        self.assertEqual([row.text[:2] for row in self.client.scan(self.prefix, limit=11)], names[:11])
        self.assertEqual([row.text[:2] for row in self.client.scan(self.prefix, limit=2)], names[:2])

    def test_an_abort_says_why_and_has_no_effect(self):
        self.client.execute([assent.put(self.key("n"), "5"), assent.put(self.key("word"), "word")])
        before = self.values()
        for reason, wrong in ((AbortReason.BELOW_FLOOR, assent.add(self.key("n"), -6, min=0)),
                              (AbortReason.NOT_A_NUMBER, assent.add(self.key("word"), 1)),
                              (AbortReason.CHECK_FAILED, assent.check(self.key("n"), value="6")),
                              (AbortReason.CHECK_FAILED, assent.check(self.key("n"), exists=False))):
            error = self.aborted(reason, self.client.execute, [assent.put(self.key("other"), "x"), wrong])
            self.assertFalse(error.retryable)
            self.assertRegex(str(error), f"^aborted c1[.0-9a-f]+: {reason}: .*{self.prefix}")
        self.assertEqual(self.values(), before)


class Interactive(PythonClientTest):
    def test_a_block_commits_at_its_end(self):
        self.client.put(self.key("a"), "1")
        with self.client.transaction() as tx:
            self.assertEqual(tx.get(self.key("a")).text, "1")
            tx.put(self.key("b"), "2")
            tx.add(self.key("a"), 1)
            tx.check(self.key("c"), exists=False)
            self.assertEqual([row.text for row in tx.scan(self.prefix)], ["2", "2"])
            self.assertEqual(tx.execute([assent.add(self.key("b"), 5)])[0].number, 7)
            tx.delete(self.key("a"))
            self.assertTrue(tx.open)
        self.assertFalse(tx.open)
        self.assertEqual(self.values(), {"b": "7"})
        self.refused("has ended: begin another", tx.get, self.key("a"))
        self.assertEqual(tx.commit().txn, tx.id)  # the same answer again

    def test_a_block_that_raises_is_rolled_back(self):
        with self.assertRaises(ZeroDivisionError), self.client.transaction() as tx:
            tx.put(self.key("a"), "1")
            tx.get(self.key("a"))
            1 // 0
        self.aborted(AbortReason.ROLLED_BACK, tx.commit)
        with self.client.transaction() as tx:
            tx.put(self.key("a"), "1")
            tx.rollback()
        with self.client.transaction() as tx:
            tx.put(self.key("b"), "1")
            self.assertFalse(tx.commit().repeated)
        self.assertEqual(self.values(), {"b": "1"})

    def test_what_was_collected_fails_at_the_next_read_or_at_commit(self):
        def collect(tx):
            tx.put(self.key("a"), "word")
            tx.add(self.key("a"), 1)
        tx = self.client.transaction()
        collect(tx)
        error = self.aborted(AbortReason.NOT_A_NUMBER, tx.get, self.key("a"))
        self.assertIs(self.aborted(AbortReason.NOT_A_NUMBER, tx.commit), error)
        tx = self.client.transaction()
        collect(tx)
        self.aborted(AbortReason.NOT_A_NUMBER, tx.commit)
        # An abort that the block swallows is not taken for a success.
        with self.assertRaises(assent.Aborted), self.client.transaction() as tx:
            collect(tx)
            with self.assertRaises(assent.Aborted):
                tx.get(self.key("a"))

    def test_many_writes_are_sent_on_the_way(self):
        with self.client.transaction() as tx:
            for i in range(1100):
                tx.put(self.key(f"{i:04}"), "x")
        self.assertEqual(len(self.values()), 1100)

    def test_run_gives_what_the_body_returns_and_rolls_back_what_it_raises(self):
        def body(tx):
            tx.put(self.key("a"), "1")
            return "value"
        self.assertEqual(self.client.run(body), "value")
        with self.assertRaises(KeyError):
            self.client.run(lambda tx: (tx.put(self.key("b"), "1"), {}["b"]))
        self.client.run(lambda tx: (tx.put(self.key("c"), "1"), tx.rollback()))
        self.assertEqual(self.values(), {"a": "1"})
        runs = []
        self.aborted(AbortReason.BELOW_FLOOR, self.client.run,
                     lambda tx: (runs.append(tx.id), tx.add(self.key("a"), -5, min=0)))
        self.assertEqual(len(runs), 1)  # it would be so the next time, too

    def test_a_wounded_transaction_is_retryable_and_keeps_its_place_in_line(self):
        old, young = self.client.transaction(), self.client.transaction()
        young.put(self.key("a"), "young")
        young.get(self.key("a"))
        old.put(self.key("a"), "old")
        old.get(self.key("a"))
        self.assertTrue(self.aborted(AbortReason.WOUNDED, young.commit).retryable)
        again = self.client.transaction(retry_of=young)
        self.assertEqual(again.age.begin_us, young.age.begin_us)
        old.commit()
        again.put(self.key("a"), "again")
        again.commit()
        self.assertEqual(self.values(), {"a": "again"})


class Threads(PythonClientTest):
    def in_threads(self, count, body):
        errors = []

        def guarded(number):
            try:
                body(number)
            except BaseException as error:  # noqa: BLE001: of another thread; shown below
                errors.append(error)
        threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        self.assertEqual(errors, [])
        self.assertFalse(any(thread.is_alive() for thread in threads))

    def test_one_cluster_object_serves_many_threads(self):
        def count(number):
            for _ in range(20):
                self.client.add(self.key(f"own-{number:02}"), 1)
                self.client.add(self.key("shared"), 1)
        self.in_threads(16, count)
        self.assertEqual(self.values(), {**{f"own-{number:02}": "20" for number in range(16)}, "shared": "320"})

    def test_a_bank_under_contention_keeps_its_sum(self):
        accounts = [self.key(f"{i}") for i in range(4)]
        self.client.execute([assent.put(account, "100") for account in accounts])
        runs, moved = [], []

        def move(number):
            for i in range(10):
                source, target = accounts[(number + i) % 4], accounts[(number * 3 + i + 1) % 4]

                def body(tx):
                    runs.append(1)
                    if source == target:
                        return
                    have, there = int(tx.get(source).text), int(tx.get(target).text)
                    tx.put(source, str(have - 1))
                    tx.put(target, str(there + 1))
                while True:
                    try:
                        self.client.run(body)
                        moved.append(1)
                        break
                    except assent.Aborted as error:
                        self.assertTrue(error.retryable, error)
        self.in_threads(8, move)
        print(f"{len(moved)} moves in {len(runs)} runs")
        self.assertEqual(len(moved), 80)
        self.assertGreater(len(runs), len(moved))  # some were wounded, and run again
        self.assertEqual(sum(map(int, self.values().values())), 400)


class Tokens(PythonClientTest):
    def test_a_token_has_one_effect_and_one_outcome(self):
        operations = [assent.add(self.key("n"), 1)]
        token = self.client.new_token()
        first = self.client.execute(operations, token)
        self.assertEqual(first.token, token)
        again = self.client.execute(operations, str(token))
        self.assertEqual((again.txn, again.repeated, again.results), (first.txn, True, ()))
        with assent.connect(self.cluster.connect) as other:  # as a process that found it in a file
            self.assertEqual(other.execute(operations, str(token)).txn, first.txn)
            error = self.refused("used for another request", other.execute, [assent.add(self.key("n"), 2)], token,
                                 kind=assent.OutcomeUnknown)  # an earlier process may have sent just that
            self.assertTrue(error.final)
        self.assertIn(first.txn, self.check(OK, "exec", "--token", str(token), f"add {self.key('n')} 1"))
        self.assertEqual(self.values(), {"n": "1"})
        self.client.release(token)

    def test_a_token_of_the_program_is_one_of_ours(self):
        unused = self.client.new_token()
        self.check(OK, "exec", "--token", str(unused), f"add {self.key('n')} 1")
        self.assertTrue(self.client.execute([assent.add(self.key("n"), 1)], unused).repeated)
        self.assertEqual(assent.Token.parse(str(unused)), unused)
        self.assertEqual(str(assent.Token.parse(SOME_TOKEN)), SOME_TOKEN)

    def test_after_an_abort_the_same_token_may_succeed(self):
        operations, token = [assent.add(self.key("n"), -1, min=0)], self.client.new_token()
        self.aborted(AbortReason.BELOW_FLOOR, self.client.execute, operations, token)
        self.client.put(self.key("n"), "1")
        self.assertEqual(self.client.execute(operations, token).token, token)
        self.assertEqual(self.values(), {"n": "0"})

    def test_text_that_is_no_token(self):
        for text in ("", "c1", SOME_TOKEN + "0" * 9, SOME_TOKEN.upper(), "s" + SOME_TOKEN[1:], SOME_TOKEN + " ",
                     "c1/0100000001/17/64c0f3a1b2d4e", "c1/100000001/0/64c0f3a1b2d4e", None, 7):
            self.refused("is no token: give the whole text, like c1/", self.client.outcome, text)
        self.refused("another coordinator group than c1: connect with coordinator='c2'", self.client.execute,
                     [assent.get("a")], "c2" + SOME_TOKEN[2:])
        self.refused("is of no request of this object .* execute the same operations", self.client.outcome, SOME_TOKEN)


class LostAnswers(PythonClientTest):
    """All connections go through a proxy that loses what it is told to lose, and nothing else."""

    def setUp(self):
        super().setUp()
        self.proxy = lose(self, rate=0)
        self.lossy = assent.connect(self.cluster.connect, timeout=3)
        self.addCleanup(self.lossy.close)
        self.lossy.put(self.key("n"), "0")  # a session and a connection are there

    def test_what_is_asked_again_has_one_effect(self):
        for i, fate in enumerate(("request lost", "reply lost", "cut at once", "half a reply"), 1):
            self.proxy.next.append(fate)
            self.lossy.add(self.key("n"), 1)
            self.assertEqual(self.values(), {"n": str(i)}, fate)
        self.proxy.next.append("reply lost")
        self.assertEqual(self.lossy.get(self.key("n")).text, "4")

    def test_work_without_an_answer_is_an_abort_that_run_repeats(self):
        tx = self.lossy.transaction()
        self.proxy.next.append("reply lost")
        self.assertTrue(self.aborted(AbortReason.BRANCH_LOST, tx.get, self.key("n")).retryable)
        fates = [["reply lost"], ["answered", "answered", "reply lost"]]  # of the two reads, and of the commit

        def body(tx):
            self.proxy.next.extend(fates.pop(0))
            tx.get(self.key("n"))
            return tx.execute([assent.add(self.key("n"), 1)])[0].number
        self.assertEqual((self.lossy.run(body), fates, self.values()), (1, [], {"n": "1"}))

    def test_an_unknown_outcome_is_found_out_later(self):
        for effect, fate in ((1, "reply lost"), (2, "request lost")):
            self.lossy.get(self.key("n"))  # another session: that of an unknown outcome is left
            self.proxy.next.extend([fate] * 1000)
            unknown = self.refused(r"ask later with cluster.outcome\('c1/", self.lossy.add, self.key("n"), 1,
                                   kind=assent.OutcomeUnknown)
            self.assertFalse(unknown.final)
            self.refused("outcome unknown", self.lossy.outcome, unknown.token, kind=assent.OutcomeUnknown)
            self.proxy.next.clear()
            found = self.lossy.outcome(str(unknown.token))
            self.assertEqual(found.token, unknown.token)
            self.assertEqual(self.lossy.outcome(unknown.token), found)
            self.assertEqual(self.values(), {"n": str(effect)})

    def test_an_unknown_commit_is_found_out_later(self):
        tx = self.lossy.transaction()
        tx.add(self.key("n"), 1)
        tx.execute([assent.get(self.key("n"))])
        self.proxy.next.extend(["reply lost"] * 1000)
        unknown = self.refused("outcome unknown", tx.commit, kind=assent.OutcomeUnknown)
        self.proxy.next.clear()
        self.assertEqual(self.lossy.outcome(unknown.token), tx.commit())
        self.assertEqual(self.values(), {"n": "1"})


class BadInput(PythonClientTest):
    def test_connecting(self):
        refused = "cannot connect to 127.0.0.1:1: Connection refused"
        self.refused(f"^{refused}; cannot connect to 127.0.0.1:2: .*Start a node", assent.connect,
                     ["127.0.0.1:1", "127.0.0.1:2"], kind=assent.Unavailable)
        for address in ("localhost", ":7401", "host:", "host:0", "host:65536", "host:x", ""):
            self.refused("is no address of a node: give host:port", assent.connect, address)
        self.refused("name at least one node", assent.connect, [])
        self.refused("belongs to cluster", assent.connect, self.cluster.connect, cluster="other",
                     kind=assent.WrongCluster)
        self.refused("'s1' is no coordinator group", assent.connect, self.cluster.connect, coordinator="s1")
        self.refused("timeout must be above 0", assent.connect, self.cluster.connect, timeout=0)
        self.refused("knows no leader", assent.connect, self.cluster.connect, coordinator="c9", timeout=1,
                     kind=assent.Unavailable)

    def test_operations(self):
        self.refused("key: it is empty", self.client.put, "", "x")
        self.refused("key: 1,025 bytes are more than 1,024", self.client.get, "k" * 1025)
        self.refused("value: 262,145 bytes are more than 262,144", self.client.put, "k", b"v" * (256 * KIB + 1))
        self.refused(r"value: give bytes or str, not int \(7\)", self.client.put, "k", 7)
        self.refused("has no UTF-8", self.client.get, "\ud800")
        self.refused("delta: give an int, not float", self.client.add, "k", 1.0)
        self.refused("does not fit 64 bits", self.client.add, "k", 1 << 63)
        self.refused("exactly one of exists=, value= and version=", assent.check, "k", exists=True, value="v")
        self.refused("limit: 4097 is not between 1 and 4096", assent.scan, "k", 4097)
        self.refused("limit: 0", self.client.scan, "k", 0)
        self.refused("does not start with the prefix", assent.scan, "k", after="a")
        self.refused("no operations", self.client.execute, [])
        self.refused("is no operation: make them with", self.client.execute, ["get k"])

    def test_too_much_of_everything(self):
        self.refused("the request has .* bytes, more than 2,097,152: split it", self.client.execute,
                     [assent.put(self.key(f"{i}"), b"v" * (256 * KIB)) for i in range(9)])
        one_shard = [assent.put(self.key("{t}" + f"{i}"), b"v" * (256 * KIB)) for i in range(5)]
        with self.assertRaises((assent.Aborted, assent.InvalidRequest)) as caught:
            self.client.execute(one_shard)
        self.assertNotIn("retry", str(caught.exception))
        self.assertEqual(self.values(), {})

    def test_a_closed_cluster(self):
        self.client.close()
        self.refused("closed: connect again", self.client.get, "k", kind=assent.Error)


class UnderFaults(ClusterTest):
    """The node that leads the coordinator group is killed, again and again, under load, while calls get lost."""

    @classmethod
    def new_cluster(cls):
        nodes = Nodes("python_client", {"c1": ["n1", "n2", "n3"], "s1": ["n2", "n3"], "s2": ["n3", "n1"]})
        nodes.start_all()
        return nodes

    def test_nothing_that_was_told_is_contradicted(self):
        print(f"ASSENT_E2E_SEED={SEED}")
        proxy = lose(self, rate=1)
        # Less than a failover takes, so that some outcomes stay unknown.
        client = assent.connect(self.cluster.connect, timeout=2)
        self.addCleanup(client.close)
        with assent.connect(self.cluster.connect) as opening:
            opening.execute([assent.put(f"accounts/{i}", "1000") for i in range(8)])
        stop, told, failures = threading.Event(), {}, []
        workers = [threading.Thread(target=self.work, args=(client, number, stop, told, failures))
                   for number in range(6)]
        for worker in workers:
            worker.start()
        try:
            kills = self.kill_leaders(time.monotonic() + SECONDS)
        finally:
            stop.set()
            proxy.rate = 0
            for worker in workers:
                worker.join(DEADLINE)
        time.sleep(LATE_S)  # what comes late has no effect any more
        self.assertEqual(failures, [])
        self.assertFalse(any(worker.is_alive() for worker in workers))
        with assent.connect(self.cluster.connect) as auditor:
            done = {row.key.decode() for row in auditor.scan("done/")}
            self.assertEqual({name for name, end in told.items() if end.startswith("committed")}, done)
            self.assertEqual(sum(int(row.text) for row in auditor.scan("accounts/")), 8000)
        counts = {end: list(told.values()).count(end) for end in sorted(set(told.values()))}
        print(f"{kills} kills; {dict(proxy.fates)}; {counts}")
        self.assertGreater(counts.get("committed", 0), 0)

    def work(self, client, number, stop, told, failures):
        """Transfers, each with a key of its own that says that it is done; half of them interactive."""
        draw, count = random.Random(SEED + number), 0
        try:
            while not stop.is_set():
                count += 1
                name = f"done/{number}/{count}"
                source, target = (f"accounts/{i}" for i in draw.sample(range(8), 2))
                told[name] = self.transfer(client, name, source, target, interactive=number % 2 == 0)
        except BaseException as error:  # noqa: BLE001: of another thread; the test shows it
            failures.append(error)

    def transfer(self, client, name, source, target, interactive):
        def body(tx):
            tx.add(source, -1)
            if tx.get(target) is not None:
                tx.execute([assent.add(target, 1), assent.put(name, "x")])
        try:
            if interactive:
                client.run(body)
            else:
                client.execute([assent.add(source, -1), assent.add(target, 1), assent.put(name, "x")])
            return "committed"
        except assent.OutcomeUnknown as unknown:
            return self.find_out(client, unknown)
        except assent.Aborted:
            return "aborted"
        except assent.Unavailable:
            return "unavailable"

    def find_out(self, client, unknown):
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            try:
                self.assertEqual(client.outcome(str(unknown.token)).token, unknown.token)
                return "committed, found out later"
            except assent.Aborted:
                return "aborted, found out later"
            except assent.OutcomeUnknown as still:
                self.assertFalse(still.final, still)
        raise AssertionError(f"never found out: {unknown}")

    def kill_leaders(self, until):
        kills = 0
        while time.monotonic() < until:
            self.cluster.await_whole()
            leader = next((node for (group, node), row in self.cluster.status().items()
                           if group == "c1" and row["state"] == "serving"), None)
            if leader is None:
                continue
            time.sleep(0.5)
            self.cluster.kill(leader)
            kills += 1
            time.sleep(1)
            self.cluster.start(leader)
            self.cluster.await_serving()
        return kills


class Installed(PythonClientTest):
    def setUp(self):
        super().setUp()
        self.directory = new_directory("python-package")
        self.addCleanup(shutil.rmtree, self.directory, True)
        # A copy, since setuptools builds inside of what it installs.
        self.source = os.path.join(self.directory, "client", "python")
        shutil.copytree(PACKAGE, self.source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        shutil.copytree(os.path.join(ROOT, "thrift"), os.path.join(self.directory, "thrift"))

    def python(self, *arguments, path, **environment):
        """Exit code, and what it says."""
        done = subprocess.run([sys.executable, "-B", *arguments], capture_output=True, text=True, timeout=DEADLINE,
                              cwd=self.directory, env={**os.environ, "PYTHONPATH": path, **environment},
                              preexec_fn=die_with_parent)
        return done.returncode, done.stdout + done.stderr

    def install(self, target, **environment):
        return self.python("-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "--target",
                           target, "./client/python", path="", **environment)

    def examples(self, page):
        with open(os.path.join(ROOT, page)) as file:
            # What is given more than a cluster is run by python_frameworks_test.
            found = re.findall(r"(?ms)^```python\n(?!# given)(.*?)^```$", file.read())
        return [example.replace("127.0.0.1:7401,127.0.0.1:7402", self.cluster.connect) for example in found]

    def test_pip_installs_what_runs_the_examples(self):
        target = os.path.join(self.directory, "target")
        code, said = self.install(target)
        self.assertEqual(code, OK, said)
        examples = self.examples("client/python/README.md") + self.examples("README.md")
        self.assertEqual(len(examples), 3)
        for example in examples:
            code, said = self.python("-c", example, path=target)
            self.assertEqual(code, OK, example + said)
        code, said = self.python("-c", "import assent, assent_wire; print(assent.__file__, assent_wire.__file__)",
                                 path=target)
        self.assertEqual(said.count(target), 2, said)
        self.assertTrue(os.path.exists(os.path.join(target, "assent", "py.typed")))

    def test_what_is_missing_is_named(self):
        code, said = self.install(os.path.join(self.directory, "target"), PATH=tempfile.gettempdir())
        self.assertNotEqual(code, OK)
        self.assertIn("apt-get install thrift-compiler", said)
        shutil.rmtree(os.path.join(self.directory, "thrift"))
        code, said = self.install(os.path.join(self.directory, "target"))
        self.assertNotEqual(code, OK)
        self.assertIn("install from a whole tree", said)
        code, said = self.python("-c", "import assent", path=PACKAGE)
        self.assertNotEqual(code, OK)
        self.assertIn("put build/python on PYTHONPATH", said)

    def test_the_version_is_that_of_the_program(self):
        with open(os.path.join(PACKAGE, "pyproject.toml")) as file:
            version = re.search(r'(?m)^version = "(.*)"$', file.read())[1]
        self.assertIn(version, self.check(OK, "--version"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
