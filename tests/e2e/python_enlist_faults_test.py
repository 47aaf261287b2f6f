"""Enlisted connections when something fails: the application is killed at each step, answers are lost, servers cut
waits short, connections break between vote and end. Real databases; small_coordinator.py decides."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import unittest
import unittest.mock

from enlist_testing import DEADLINE, DRIVERS, HERE, NAME, PACKAGE, EnlistTest, servers, start_servers, stop_servers

import pymysql
from assent_wire.ttypes import Heuristic as WireHeuristic

import assent
from assent import AbortReason
from assent._branch import Branch

setUpModule, tearDownModule = start_servers, stop_servers


class FaultTest(EnlistTest):
    def impatient(self):
        client = assent.connect(self.coordinator.address, timeout=0.3)
        self.addCleanup(client.close)
        return client

    def enlist_both(self, tx, number=1):
        orders, billing = self.connect("psycopg2"), self.connect("PyMySQL")
        tx.enlist("orders", orders.raw)
        tx.enlist("billing", billing.raw)
        for work in (orders, billing):
            work.insert(number)
        return orders, billing

    def both(self):
        return [self.rows(kind) for kind in servers]


class TheApplicationIsKilled(FaultTest):
    STEPS = {  # who has a prepared branch then, and whether the transaction is committed
        "enlisted": ([], False), "worked": ([], False), "one is prepared": (["billing"], False),
        "all are prepared": (["billing", "orders"], False), "decided": (["billing", "orders"], True),
        "one is committed": (["orders"], True)}

    def test_at_each_step(self):
        for step, (prepared, committed) in self.STEPS.items():
            with self.subTest(step):
                self.setUpCase()
                self.kill_at(step)
                txn = f"c1.7.{len(self.coordinator._txns):x}"
                xids = self.coordinator.xids(txn)
                listed = {"orders": servers["postgresql"].prepared(), "billing": servers["mariadb"].prepared()}
                expected = {"orders": [xids["orders"].text], "billing": [(xids["billing"].gtrid,
                                                                          xids["billing"].bqual)]}
                self.assertEqual(listed, {name: expected[name] if name in prepared else [] for name in listed})
                self.assertEqual(len(self.coordinator.calls("commit")), int(committed))
                self.end_as_coordinator(txn, committed)
                self.assertEqual(self.both(), [[(1, 1)] if committed else []] * 2)
                self.assertEqual(self.prepared(), [])

    def kill_at(self, step):
        child = subprocess.Popen(
            [sys.executable, "-B", os.path.join(HERE, "enlist_victim.py"), self.coordinator.address,
             servers["postgresql"].dsn(), json.dumps(servers["mariadb"].arguments()), step], stdout=subprocess.PIPE,
            text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join([PACKAGE, os.environ["PYTHONPATH"]])})
        try:
            self.assertEqual(child.stdout.readline(), "here\n", step)
        finally:
            child.kill()
            child.wait(DEADLINE)
            child.stdout.close()
        self.wait_until(lambda: not servers["postgresql"].sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'app'")
                        and not servers["mariadb"].sql("SELECT 1 FROM information_schema.processlist "
                                                       "WHERE user = 'app'"), "its sessions end")

    def test_fact_7_what_waits_for_a_lock_prepares_nothing_later(self):
        servers["postgresql"].sql("INSERT INTO accounts VALUES (1, 9)", database="app")
        holder = self.connect("psycopg2")
        holder.execute("UPDATE accounts SET amount = 8")
        script = ("import assent, psycopg2, sys\n"
                  "with assent.connect(sys.argv[1]) as client, client.transaction() as tx:\n"
                  "    connection = tx.enlist('orders', psycopg2.connect(sys.argv[2]), lock_timeout=100)\n"
                  "    connection.cursor().execute('UPDATE accounts SET amount = 7')\n")
        child = subprocess.Popen(
            [sys.executable, "-B", "-c", script, self.coordinator.address, servers["postgresql"].dsn()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([PACKAGE, os.environ["PYTHONPATH"]])})
        waiting = "SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND wait_event_type = 'Lock'"
        try:
            self.wait_until(lambda: servers["postgresql"].sql(waiting), "it waits")
        finally:
            child.kill()
            child.wait(DEADLINE)
        holder.rollback()
        self.wait_until(lambda: len(servers["postgresql"].sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'app'"))
                        == 1, "its session ends")
        self.assertEqual((self.prepared(), self.rows("postgresql")), ([], [(1, 9)]))


class TheOutcomeIsUnknown(FaultTest):
    def lose(self, how):
        """The transaction, and the error."""
        self.coordinator.lost_commits = [how] * 1000
        with self.assertRaises(assent.OutcomeUnknown) as caught, self.impatient().transaction() as tx:
            self.works = self.enlist_both(tx)
        self.coordinator.lost_commits = []
        self.assertIn("the branches of billing, orders stay prepared", str(caught.exception))
        self.assertEqual((len(self.prepared()), self.both()), (2, [[], []]))
        self.assertEqual(self.coordinator.calls("finished", "rollback"), [])
        return tx, caught.exception

    def test_it_is_committed_once_it_is_known(self):
        for how in ("request", "reply"):
            with self.subTest(how):
                self.setUpCase()
                tx, _ = self.lose(how)
                self.assertEqual(tx.commit().unfinished, {})
                self.assertEqual((self.prepared(), self.both()), ([], [[(1, 1)], [(1, 1)]]))
                for work in self.works:
                    self.usable(work)

    def test_asking_by_the_token_ends_the_branches_too(self):
        tx, unknown = self.lose("reply")
        self.assertEqual(tx._cluster.outcome(str(unknown.token)).txn, tx.id)
        self.assertEqual((self.prepared(), self.both()), ([], [[(1, 1)], [(1, 1)]]))

    def test_it_is_rolled_back_once_that_is_known(self):
        self.coordinator.refuse_next = AbortReason.BRANCH_LOST.value
        tx, _ = self.lose("reply")
        self.assertRaises(assent.Aborted, tx.commit)
        self.assertEqual((self.prepared(), self.both()), ([], [[], []]))
        self.assertEqual(sorted(self.coordinator.calls("finished")),
                         [("finished", "billing", "ABORT"), ("finished", "orders", "ABORT")])
        for work in self.works:
            self.usable(work)

    def test_fact_5_mariadb_holds_a_branch_until_its_connection_is_closed(self):
        tx, _ = self.lose("reply")
        xid, billing = self.coordinator.xids(tx.id)["billing"], self.works[1]
        end = f"XA ROLLBACK '{xid.gtrid.decode()}','{xid.bqual.decode()}',{xid.format_id}"
        self.refused("1397", servers["mariadb"].sql, end, kind=pymysql.Error)  # "unknown XID"
        self.assertEqual(servers["mariadb"].prepared(), [(xid.gtrid, xid.bqual)])
        billing.close()
        self.wait_until(lambda: not servers["mariadb"].sql(
            "SELECT 1 FROM information_schema.processlist WHERE user = 'app'"), "its session ends")
        with self.warned("billing"):  # which cannot be committed here any more
            self.assertEqual(list(tx.commit().unfinished), ["billing"])
        self.assertEqual((servers["mariadb"].prepared(), self.both()), ([(xid.gtrid, xid.bqual)], [[(1, 1)], []]))
        self.end_as_coordinator(tx.id, True)
        self.assertEqual(self.both(), [[(1, 1)], [(1, 1)]])

    def test_the_vote_says_who_holds_the_branch_and_how_to_look_it_up(self):
        tx, _ = self.lose("reply")
        votes = self.coordinator._txns[int(tx.id.rpartition(".")[2], 16)].reported
        (holder,), = self.works[1].execute("SELECT CONNECTION_ID()")
        self.assertEqual((votes["billing"].holder, votes["billing"].evidence), (str(holder), None))
        word, system, timeline, xid8 = votes["orders"].evidence.split()
        self.assertEqual((word, timeline, votes["orders"].holder), ("pg", "1", None))
        self.assertEqual(servers["postgresql"].sql("SELECT system_identifier::text FROM pg_control_system()"),
                         [(system,)])
        status = f"SELECT pg_xact_status('{xid8}'::xid8)"
        self.assertEqual(servers["postgresql"].sql(status), [("in progress",)])
        tx.commit()
        self.assertEqual(servers["postgresql"].sql(status), [("committed",)])


    def test_through_sqlalchemy_the_cluster_ends_them(self):
        for drivers in (("Connection over psycopg2", "Connection over PyMySQL"),
                        ("Session over psycopg2", "Session over MySQLdb")):
            with self.subTest(drivers):
                self.setUpCase()
                works = [self.connect(driver) for driver in drivers]
                self.coordinator.lost_commits = ["reply"] * 1000
                with self.assertRaises(assent.OutcomeUnknown), works[0].raw, works[1].raw:  # the blocks end them, too
                    with self.impatient().transaction() as tx:
                        for work in works:
                            tx.enlist(NAME[work.kind], work.raw)
                            work.insert(1)
                self.coordinator.lost_commits = []
                self.assertEqual(len(self.prepared()), 2)
                with self.warned("billing", "orders"):
                    self.assertEqual(list(tx.commit().unfinished), ["billing", "orders"])
                self.end_as_coordinator(tx.id, True)
                self.assertEqual(self.both(), [[(1, 1)], [(1, 1)]])


class BetweenVoteAndEnd(FaultTest):
    def run_with(self, between):
        self.coordinator.before_decision = between
        with self.client.transaction() as tx:
            self.enlist_both(tx)
        return tx

    def test_a_connection_that_broke_is_the_coordinator_s_to_end(self):
        with self.warned("the coordinator still has to commit orders: "):
            tx = self.run_with(lambda: servers["postgresql"].sql(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'app'"))
        self.assertEqual(list(tx.commit().unfinished), ["orders"])
        self.assertEqual(self.coordinator.calls("finished"), [("finished", "billing", "COMMIT")])
        self.assertEqual((self.both(), len(self.prepared())), ([[], [(1, 1)]], 1))
        self.end_as_coordinator(tx.id, True)

    def test_a_branch_that_somebody_else_committed_is_committed(self):
        tx = self.run_with(lambda: servers["postgresql"].sql(
            f"COMMIT PREPARED '{servers['postgresql'].prepared()[0]}'", database="app"))
        self.assertEqual((tx.commit().unfinished, self.both()), ({}, [[(1, 1)], [(1, 1)]]))
        self.assertEqual(len(self.coordinator.calls("finished")), 2)

    def test_a_branch_that_somebody_else_rolled_back_is_not_said_to_be_committed(self):
        with self.warned("orders: .*does not exist"):
            tx = self.run_with(lambda: servers["postgresql"].sql(
                f"ROLLBACK PREPARED '{servers['postgresql'].prepared()[0]}'", database="app"))
        self.assertEqual(list(tx.commit().unfinished), ["orders"])
        self.assertEqual(self.coordinator.calls("finished"), [("finished", "billing", "COMMIT")])

    def test_heuristics_are_raised(self):
        self.coordinator.heuristics = [WireHeuristic("orders", 6, "status: aborted")]
        tx = self.client.transaction()
        self.enlist_both(tx)
        error = self.refused("committed .*, but not as a whole: orders: rolled back, status: aborted", tx.commit,
                             kind=assent.Heuristic)
        self.assertEqual([one.kind for one in error.result.heuristics], [assent.HeuristicKind.ROLLED_BACK])
        self.assertIs(self.refused("", tx.commit, kind=assent.Heuristic), error)

    def test_an_interrupt_between_the_votes_rolls_all_back(self):
        prepare = Branch.prepare

        def interrupted(branch):
            prepare(branch)
            if branch.name == "orders":
                raise KeyboardInterrupt
        with unittest.mock.patch.object(Branch, "prepare", interrupted), self.assertRaises(KeyboardInterrupt):
            with self.client.transaction() as tx:
                works = self.enlist_both(tx)
        self.assertEqual((self.prepared(), self.both(), self.coordinator.calls("commit")), ([], [[], []], []))
        for work in works:
            self.usable(work)


class ASynchronousStandby(FaultTest):
    def test_fact_8_a_wait_that_was_cut_short_is_a_no(self):
        server = servers["postgresql"]
        waits = "SELECT pid FROM pg_stat_activity WHERE usename = 'app' AND wait_event = 'SyncRep'"
        for driver in ("psycopg2", "psycopg"):
            with self.subTest(driver):
                work, raised = self.connect(driver), []
                tx = self.client.transaction()
                tx.enlist("orders", work.raw)
                work.execute("SET synchronous_commit = off")  # a yes must not rest on that
                work.insert(1)
                server.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")
                self.wait_until(lambda: server.sql("SHOW synchronous_standby_names") == [("nobody",)], "it is set")

                def commit():
                    try:
                        tx.commit()
                    except assent.Error as error:
                        raised.append(error)
                thread = threading.Thread(target=commit)
                thread.start()
                try:
                    self.wait_until(lambda: server.sql(waits), "PREPARE waits for the standby")
                    self.assertEqual(len(self.prepared()), 1)  # it is there; a standby may not have it
                    server.sql(f"SELECT pg_cancel_backend(pid) FROM ({waits}) AS waiting")
                finally:
                    server.sql("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
                    thread.join(DEADLINE)
                self.assertRegex(str(raised[0]), "orders: prepared with a warning: .*synchronous replication")
                self.assertEqual((self.prepared(), self.coordinator.calls("commit")), ([], []))
                work.rollback()


class LongWork(FaultTest):
    def setUp(self):
        super().setUp()
        self.coordinator.idle_ms = 300

    def test_it_is_kept_alive(self):
        idle = self.client.transaction()  # nobody works for this one elsewhere
        with self.client.transaction() as tx:
            self.enlist_both(tx)
            self.wait_until(lambda: len(self.coordinator.calls("keep_alive")) >= 5, "it is told five times")
        self.assertEqual(self.both(), [[(1, 1)], [(1, 1)]])
        self.assertEqual(self.refused("idled", idle.get, "k", kind=assent.Aborted).reason, AbortReason.EXPIRED)
        self.assertFalse([thread for thread in threading.enumerate() if thread.name == "assent-keep-alive"
                          and not self.ends(thread)])

    def test_its_end_is_noticed_and_the_databases_are_rolled_back(self):
        tx = self.client.transaction(timeout=0.4)
        self.enlist_both(tx)
        self.assertIn(("begin", 400), self.coordinator.told)
        self.wait_until(lambda: tx._keep_alive.ended is not None, "the coordinator ends it")
        self.assertEqual(self.refused("lived too long", tx.put, "k", "v", kind=assent.Aborted).reason,
                         AbortReason.EXPIRED)
        with DRIVERS["PyMySQL"]().raw as other:  # no lock is left
            other.cursor().execute("INSERT INTO accounts VALUES (1, 1)")
        self.assertEqual(len(self.coordinator.calls("finished")), 2)

    def test_one_that_is_dropped_is_not(self):
        tx = self.client.transaction()
        self.enlist_both(tx)
        thread, = [thread for thread in threading.enumerate() if thread.name == "assent-keep-alive"]
        del tx
        self.assertTrue(self.ends(thread))

    @staticmethod
    def ends(thread):
        thread.join(DEADLINE)
        return not thread.is_alive()


class ThreadsAndProcesses(FaultTest):
    def test_two_threads_at_once_are_refused(self):
        tx, refused = self.client.transaction(), []
        self.enlist_both(tx)

        def meddle():
            for call, *arguments in ((tx.put, "k", "v"), (tx.get, "k"), (tx.commit,), (tx.rollback,)):
                with contextlib.suppress(assent.InvalidRequest):
                    call(*arguments)
                    refused.append(call)

        def meanwhile():
            thread = threading.Thread(target=meddle)
            thread.start()
            thread.join(DEADLINE)
        self.coordinator.before_decision = meanwhile
        tx.commit()
        self.assertEqual((refused, self.both()), ([], [[(1, 1)], [(1, 1)]]))
        self.refused("has ended: begin another", tx.enlist, "ledger", None)

    def test_a_child_neither_uses_nor_ends_it(self):
        with self.client.transaction() as tx:
            self.enlist_both(tx)
            child = os.fork()
            if not child:
                code = 1
                try:
                    with contextlib.suppress(KeyError), tx:
                        with contextlib.suppress(assent.InvalidRequest):
                            tx.put("k", "v")
                            code = 2
                        raise KeyError
                    code = 0 if code == 1 else code
                finally:
                    os._exit(code)
            self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual((self.both(), self.coordinator.values), ([[(1, 1)], [(1, 1)]], {}))

    def test_many_threads_each_with_its_own(self):
        for kind, prefix in (("postgresql", ""), ("mariadb", "app.")):
            servers[kind].sql(f"INSERT INTO {prefix}accounts VALUES (1, 100), (2, 100), (3, 100), (4, 100)",
                              **({"database": "app"} if kind == "postgresql" else {}))
        failures = []

        def transfer(number):
            try:
                orders, billing = (DRIVERS[driver]() for driver in (("psycopg2", "PyMySQL"), ("psycopg", "MySQLdb"))[
                    number % 2])
                with contextlib.closing(orders), contextlib.closing(billing):
                    for i in range(10):
                        def body(tx):
                            for work, sign in ((orders, "-"), (billing, "+")):
                                tx.enlist(NAME[work.kind], work.raw)
                                work.execute(f"UPDATE accounts SET amount = amount {sign} 1 WHERE id = {number + 1}")
                            tx.add(f"moved/{number}", 1)
                            if i == 5:
                                raise KeyError
                        with contextlib.suppress(KeyError):
                            self.client.run(body)
            except BaseException as error:  # noqa: BLE001: of another thread; shown below
                failures.append(error)
        threads = [threading.Thread(target=transfer, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        self.assertEqual(failures, [])
        self.assertEqual(self.both(), [[(n, 91) for n in range(1, 5)], [(n, 109) for n in range(1, 5)]])
        self.assertEqual((set(self.coordinator.values.values()), self.prepared()), ({b"9"}, []))


if __name__ == "__main__":
    unittest.main(verbosity=2)
