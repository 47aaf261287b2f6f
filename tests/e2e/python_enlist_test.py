"""Connections to PostgreSQL and MariaDB in a transaction of the Python package: what each driver's work becomes, what
is refused, and that the connection is as before afterwards. Real databases; small_coordinator.py decides."""

import threading
import unittest
import unittest.mock
import warnings

from enlist_testing import (DRIVERS, NAME, AlchemyWork, EnlistTest, Work, each_driver, servers, start_servers,
                            stop_servers)

import psycopg2
import psycopg2.extras
import pymysql
import sqlalchemy
import sqlalchemy.orm

import assent
from assent import AbortReason
from assent._postgresql import PostgreSqlBranch

setUpModule, tearDownModule = start_servers, stop_servers


class EachDriver(EnlistTest):
    @each_driver()
    def test_commit(self, work):
        name = NAME[work.kind]
        with self.client.transaction() as tx:
            self.assertIs(tx.enlist(name, work.raw), work.raw)
            work.insert(1)
            self.assertEqual((self.rows(work.kind), self.prepared()), ([], []))
        self.assertEqual((self.rows(work.kind), self.prepared()), ([(1, 1)], []))
        self.assertEqual((tx.commit().unfinished, tx.commit().heuristics), ({}, ()))
        self.assertEqual(self.coordinator.calls("commit", "finished"),
                         [("commit", {name: "YES"}), ("finished", name, "COMMIT")])
        self.usable(work)

    @each_driver()
    def test_rollback_where_the_block_raises(self, work):
        with self.assertRaises(ZeroDivisionError), self.client.transaction() as tx:
            tx.enlist(NAME[work.kind], work.raw)
            work.insert(1)
            1 // 0
        self.assertEqual((self.rows(work.kind), self.prepared()), ([], []))
        self.assertEqual(self.coordinator.calls("commit", "finished", "rollback"),
                         [("rollback",), ("finished", NAME[work.kind], "ABORT")])
        self.refused("rolled back", tx.commit, kind=assent.Aborted)
        self.usable(work)

    @each_driver()
    def test_an_abort_by_the_coordinator(self, work):
        self.coordinator.refuse_next = AbortReason.WOUNDED.value
        with self.assertRaises(assent.Aborted) as caught, self.client.transaction() as tx:
            tx.enlist(NAME[work.kind], work.raw)
            work.insert(1)
        self.assertEqual((caught.exception.reason, caught.exception.retryable), (AbortReason.WOUNDED, True))
        self.assertEqual((self.rows(work.kind), self.prepared()), ([], []))
        self.assertEqual(self.coordinator.calls("finished"), [("finished", NAME[work.kind], "ABORT")])
        self.usable(work)

    @each_driver()
    def test_what_only_read_is_no_participant(self, work):
        with self.client.transaction() as tx:
            tx.enlist(NAME[work.kind], work.raw)
            work.execute("SELECT * FROM accounts")
        self.assertEqual(self.coordinator.calls("commit", "finished"), [("commit", {NAME[work.kind]: "READ_ONLY"})])
        self.usable(work)

    @each_driver("mariadb")
    def test_mariadb_an_update_that_changes_nothing_is_a_read(self, work):
        servers["mariadb"].sql("INSERT INTO app.accounts VALUES (1, 1)")
        with self.client.transaction() as tx:
            tx.enlist("billing", work.raw)
            work.execute("UPDATE accounts SET amount = amount WHERE id = 1")
            work.execute("UPDATE accounts SET amount = 5 WHERE id = 77")
        self.assertEqual(self.coordinator.calls("commit"), [("commit", {"billing": "READ_ONLY"})])

    @each_driver()
    def test_fact_1_an_error_that_was_swallowed_makes_no_yes(self, work):
        with self.assertRaises(assent.Aborted) as caught, self.client.transaction() as tx:
            tx.enlist(NAME[work.kind], work.raw)
            work.insert(1)
            with self.assertRaises(Exception):
                work.insert(1)
        self.assertEqual(caught.exception.reason, AbortReason.FOREIGN_REFUSED)
        self.assertFalse(caught.exception.retryable)
        self.assertRegex(str(caught.exception), f"{NAME[work.kind]}: .*the error was not passed on")
        self.assertEqual((self.rows(work.kind), self.prepared()), ([], []))
        self.assertEqual(self.coordinator.calls("commit"), [])
        self.usable(work)

    @each_driver()
    def test_an_error_behind_a_savepoint_is_mended(self, work):
        with self.client.transaction() as tx:
            tx.enlist(NAME[work.kind], work.raw)
            work.insert(1)
            work.execute("SAVEPOINT here")
            with self.assertRaises(Exception):
                work.insert(1)
            work.execute("ROLLBACK TO SAVEPOINT here")
            work.insert(2)
        self.assertEqual(self.rows(work.kind), [(1, 1), (2, 1)])

    @each_driver()
    def test_a_lost_connection_is_a_no(self, work):
        with self.assertRaisesRegex(assent.Aborted, NAME[work.kind]), self.client.transaction() as tx:
            tx.enlist(NAME[work.kind], work.raw)
            work.insert(1)
            if work.kind == "postgresql":
                servers["postgresql"].sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                                          "WHERE usename = 'app'")
            else:
                (number,), = work.execute("SELECT CONNECTION_ID()")
                servers["mariadb"].sql(f"KILL {number}")
        self.assertEqual((self.rows(work.kind), self.prepared(), self.coordinator.calls("commit")), ([], [], []))

    def test_a_connection_that_was_closed_is_a_no(self):
        for driver in ("psycopg2", "psycopg", "PyMySQL", "MySQLdb"):
            work = DRIVERS[driver]()
            with self.subTest(driver), self.assertRaisesRegex(assent.Aborted, NAME[work.kind]):
                with self.client.transaction() as tx:
                    tx.enlist(NAME[work.kind], work.raw)
                    work.insert(1)
                    work.close()

    @each_driver()
    def test_one_in_a_transaction_is_refused_and_nothing_happens_to_it(self, work):
        work.insert(1)
        if isinstance(work.raw, sqlalchemy.engine.Connection):  # which has committed that
            own = work.raw.begin()
            work.insert(2)
        tx = self.client.transaction()
        self.refused("in a transaction already: commit or roll it back", tx.enlist, NAME[work.kind], work.raw)
        self.assertEqual(self.coordinator.calls("enlist"), [])
        if isinstance(work.raw, sqlalchemy.engine.Connection):
            own.commit()
        work.commit()
        self.assertIn((1, 1), self.rows(work.kind))
        tx.enlist(NAME[work.kind], work.raw)  # the transaction is open still
        tx.rollback()


class TwoDatabasesAndAShard(EnlistTest):
    def test_all_or_nothing(self):
        for postgresql in ("psycopg2", "psycopg", "Session over psycopg2"):
            for mariadb in ("PyMySQL", "MySQLdb", "Session over MySQLdb"):
                with self.subTest(f"{postgresql}, {mariadb}"):
                    self.setUpCase()
                    orders, billing = self.connect(postgresql), self.connect(mariadb)
                    for number, fails in ((1, False), (2, True), (3, False)):
                        def body(tx):
                            tx.enlist("orders", orders.raw)
                            tx.enlist("billing", billing.raw)
                            orders.insert(number)
                            billing.insert(number)
                            tx.put("last", f"{number}")
                            if fails:
                                raise KeyError(number)
                        if fails:
                            self.assertRaises(KeyError, self.client.run, body)
                        else:
                            self.client.run(body)
                    for kind in servers:
                        self.assertEqual(self.rows(kind), [(1, 1), (3, 1)])
                    with self.client.transaction() as tx:
                        self.assertEqual(tx.get("last").text, "3")
                    orders.close()
                    billing.close()

    def test_one_no_rolls_the_others_back(self):
        orders, billing = self.connect("psycopg2"), self.connect("PyMySQL")
        with self.assertRaisesRegex(assent.Aborted, "orders: .*not passed on"), self.client.transaction() as tx:
            tx.put("k", "v")
            tx.enlist("billing", billing.raw)  # prepared first
            tx.enlist("orders", orders.raw)
            billing.insert(1)
            self.assertRaises(psycopg2.Error, orders.execute, "nonsense")
        self.assertEqual((self.rows("mariadb"), self.prepared(), self.coordinator.values), ([], [], {}))
        self.assertEqual(self.coordinator.calls("finished"), [("finished", "billing", "ABORT"),
                                                              ("finished", "orders", "ABORT")])
        self.usable(billing)
        self.usable(orders)

    def test_run_begins_again_after_an_abort_that_passes(self):
        orders, billing, runs = self.connect("psycopg"), self.connect("MySQLdb"), []
        self.coordinator.refuse_next = AbortReason.WOUNDED.value

        def body(tx):
            runs.append(tx.id)
            for name, work in (("orders", orders), ("billing", billing)):
                tx.enlist(name, work.raw)
                work.insert(len(runs))
        self.client.run(body)
        self.assertEqual([self.rows(kind) for kind in servers], [[(2, 1)]] * 2)


class PostgreSqlSays(EnlistTest):
    """No to PREPARE."""

    @each_driver("postgresql")
    def test_a_deferred_constraint(self, work):
        servers["postgresql"].sql("CREATE TABLE parts (whole int REFERENCES accounts DEFERRABLE INITIALLY DEFERRED)",
                                  database="app", user="app")
        try:
            with self.assertRaisesRegex(assent.Aborted, "orders: .*foreign key") as caught:
                with self.client.transaction() as tx:
                    tx.enlist("orders", work.raw)
                    work.execute("INSERT INTO parts VALUES (77)")
            self.assertFalse(caught.exception.retryable)
            self.assertEqual(self.prepared(), [])
            self.usable(work)
        finally:
            work.rollback()
            servers["postgresql"].sql("DROP TABLE parts", database="app")

    @each_driver("postgresql")
    def test_what_cannot_be_prepared_is_named(self, work):
        for statement, cause in (("NOTIFY channel", "LISTEN, UNLISTEN, or NOTIFY"),
                                 ("CREATE TEMP TABLE t (n int)", "temporary objects"),
                                 ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "WITH HOLD")):
            with self.assertRaisesRegex(assent.Aborted, "orders: .*" + cause), self.client.transaction() as tx:
                tx.enlist("orders", work.raw)
                work.insert(1)
                work.execute(statement)
            self.assertEqual((self.rows("postgresql"), self.prepared()), ([], []))
            self.usable(work)

    def test_no_slot_for_prepared_transactions_is_left(self):
        with psycopg2.connect(servers["postgresql"].dsn()) as connection:
            connection.autocommit = True
            for i in range(servers["postgresql"].settings["max_prepared_transactions"]):
                for statement in ("BEGIN", f"PREPARE TRANSACTION '{i}'"):
                    connection.cursor().execute(statement)
        connection.close()
        work = self.connect("psycopg")
        with self.assertRaises(assent.Aborted) as caught, self.client.transaction() as tx:
            tx.enlist("orders", work.raw)
            work.insert(1)
        self.assertEqual((caught.exception.reason, caught.exception.retryable), (AbortReason.OVERLOADED, True))
        self.usable(work)

    @each_driver("postgresql")
    def test_a_lock_is_waited_for_so_long_at_most(self, work):
        servers["postgresql"].sql("INSERT INTO accounts VALUES (1, 1)", database="app")
        holder = self.connect("psycopg2")
        holder.execute("UPDATE accounts SET amount = 2")
        with self.assertRaisesRegex(Exception, "lock timeout"), self.client.transaction() as tx:
            tx.enlist("orders", work.raw, lock_timeout=0.2)
            work.execute("UPDATE accounts SET amount = 3")
        self.assertFalse(tx.open)
        holder.close()
        self.usable(work)

    def test_a_serialization_failure_is_retryable(self):
        servers["postgresql"].sql("INSERT INTO accounts VALUES (1, 1), (2, 2)", database="app")
        one, other = self.connect("psycopg2"), self.connect("psycopg")
        with self.assertRaises(assent.Aborted) as caught, self.client.transaction() as tx:
            tx.enlist("orders", one.raw)
            one.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")  # allowed still
            other.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            for work in (one, other):
                work.execute("SELECT sum(amount) FROM accounts")
            one.execute("UPDATE accounts SET amount = 0 WHERE id = 1")
            other.execute("UPDATE accounts SET amount = 0 WHERE id = 2")
            other.commit()
        self.assertTrue(caught.exception.retryable, caught.exception)

    def test_a_transaction_that_was_ended_on_the_connection(self):
        for driver in ("psycopg2", "psycopg"):
            for end in ("commit", "rollback"):
                work = self.connect(driver)
                with self.subTest(f"{driver} {end}"), self.assertRaisesRegex(assent.Aborted, "was ended on the"):
                    with self.client.transaction() as tx:
                        tx.enlist("orders", work.raw)
                        getattr(work, end)()
                        work.execute("UPDATE accounts SET amount = 5")  # in another one
                self.usable(work)

    def test_fact_1_the_tag_of_a_prepare_tells(self):
        for driver in ("psycopg2", "psycopg"):
            work = self.connect(driver)
            with self.subTest(driver):
                work.raw.tpc_begin(work.raw.xid(1, driver, "b"))
                self.assertRaises(Exception, work.execute, "nonsense")
                work.raw.tpc_prepare()  # the trap: no error
                self.assertEqual(self.prepared(), [])
                work.close()
                work = self.connect(driver)
                tx = self.client.transaction()
                tx.enlist("orders", work.raw)
                branch, = tx._enlisted._in_order()
                self.assertRaises(Exception, work.execute, "nonsense")
                # Without the looks before: what is answered alone must be enough.
                with unittest.mock.patch.multiple(
                        branch, _status=lambda: 2, _look=lambda: (branch.xid.text, "7", "1", "00000001", "on")):
                    self.refused("answered with ROLLBACK", tx.commit, kind=assent.Aborted)
                self.assertEqual((self.prepared(), self.coordinator.calls("commit")), ([], []))
                self.usable(work)

    @each_driver("postgresql")
    def test_fact_9_the_next_statement_is_in_a_transaction_of_its_own(self, work):
        with self.client.transaction() as tx:
            tx.enlist("orders", work.raw)
            work.insert(1)
        self.usable(work)  # rolls an INSERT back
        self.coordinator.lost_commits = ["reply"] * 1000  # and the branch stays prepared
        client = assent.connect(self.coordinator.address, timeout=0.3)
        self.addCleanup(client.close)
        with self.assertRaises(assent.OutcomeUnknown), client.transaction() as tx:
            tx.enlist("orders", work.raw)
            work.insert(2)
        self.assertEqual(len(self.prepared()), 1)
        with work.driver().cursor() as cursor:
            cursor.execute("INSERT INTO accounts VALUES (3, 1)")
        work.driver().rollback()
        self.assertEqual(self.rows("postgresql"), [(1, 1)])
        self.coordinator.lost_commits = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SQLAlchemy has taken its connection back
            tx.commit()
        self.end_as_coordinator(tx.id, True)
        self.assertEqual(self.rows("postgresql"), [(1, 1), (2, 1)])


class MariaDbSays(EnlistTest):
    def in_background(self, call, *arguments):
        thread = threading.Thread(target=call, args=arguments)
        thread.start()
        return thread

    @each_driver("mariadb")
    def test_a_lock_wait_that_timed_out(self, work):
        servers["mariadb"].sql("INSERT INTO app.accounts VALUES (1, 1)")
        with DRIVERS["PyMySQL"]().raw as holder:
            holder.cursor().execute("UPDATE accounts SET amount = 9 WHERE id = 1")
            with self.assertRaises(assent.Aborted) as caught, self.client.transaction() as tx:
                tx.enlist("billing", work.raw, lock_timeout=1)
                work.insert(2)
                self.assertRaises(Exception, work.execute, "UPDATE accounts SET amount = 5 WHERE id = 1")
            holder.rollback()
        self.assertEqual((caught.exception.reason, caught.exception.retryable), (AbortReason.LOCK_TIMEOUT, True))
        self.assertEqual((self.rows("mariadb"), self.prepared()), ([(1, 1)], []))
        self.usable(work)

    def test_a_deadlock_is_retryable(self):
        for driver in ("PyMySQL", "MySQLdb"):
            with self.subTest(driver):
                self.setUpCase()
                servers["mariadb"].sql("INSERT INTO app.accounts VALUES (1, 1), (2, 2), (3, 3), (4, 4)")
                work, other = self.connect(driver), self.connect("PyMySQL")
                with self.assertRaises(assent.Aborted) as caught, self.client.transaction() as tx:
                    tx.enlist("billing", work.raw)
                    other.execute("UPDATE accounts SET amount = 0 WHERE id > 1")  # the victim is who changed less
                    work.execute("UPDATE accounts SET amount = 0 WHERE id = 1")
                    waiting = self.in_background(other.execute, "UPDATE accounts SET amount = 7 WHERE id = 1")
                    self.wait_until(lambda: servers["mariadb"].sql(
                        "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"), "it waits")
                    self.assertRaises(Exception, work.execute, "UPDATE accounts SET amount = 0 WHERE id = 2")
                    waiting.join()
                self.assertTrue(caught.exception.retryable, caught.exception)
                self.assertEqual(self.prepared(), [])
                other.rollback()
                self.usable(work)

    @each_driver("mariadb")
    def test_ending_it_on_the_connection_is_an_error_there_and_a_no(self, work):
        with self.assertRaises(assent.Aborted), self.client.transaction() as tx:
            tx.enlist("billing", work.raw)
            work.insert(1)
            with self.assertRaises(Exception):
                work.execute("COMMIT")
        self.assertEqual(self.rows("mariadb"), [])
        self.usable(work)

    def test_autocommit_makes_no_difference(self):
        for connect in (pymysql.connect, DRIVERS["MySQLdb"]().raw.__class__):
            work = Work(connect(**servers["mariadb"].arguments(), autocommit=True), "mariadb")
            self.addCleanup(work.close)
            self.setUpCase()
            with self.assertRaises(KeyError), self.client.transaction() as tx:
                tx.enlist("billing", work.raw)
                work.insert(1)
                raise KeyError
            self.assertEqual(self.rows("mariadb"), [])
            work.insert(2)
            self.assertEqual(self.rows("mariadb"), [(2, 1)])


class Alchemy(EnlistTest):
    def test_a_commit_of_its_own_is_refused_before_it_happens(self):
        for driver in ("Session over psycopg2", "Session over MySQLdb"):
            work = self.connect(driver)
            with self.subTest(driver), self.assertRaisesRegex(assent.InvalidRequest, "do not commit it alone"):
                with self.client.transaction() as tx:
                    tx.enlist(NAME[work.kind], work.raw)
                    work.insert(1)
                    work.commit()
            self.assertEqual((self.rows(work.kind), self.prepared()), ([], []))
            self.usable(work)

    def test_objects_are_flushed_and_expired(self):
        registry = sqlalchemy.orm.registry()

        @registry.mapped
        class Account:
            __tablename__ = "accounts"
            id = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True, autoincrement=False)
            amount = sqlalchemy.Column(sqlalchemy.Integer)
        for driver in ("Session over psycopg2", "Session over MySQLdb"):
            work = self.connect(driver)
            with self.subTest(driver):
                with self.client.transaction() as tx:
                    session = tx.enlist(NAME[work.kind], work.raw)
                    account = Account(id=1, amount=5)
                    session.add(account)  # and no statement at all
                self.assertEqual(self.rows(work.kind), [(1, 5)])
                self.assertTrue(sqlalchemy.inspect(account).expired_attributes)
                self.assertEqual(account.amount, 5)
                session.rollback()
                with self.assertRaises(KeyError), self.client.transaction() as tx:
                    tx.enlist(NAME[work.kind], session)
                    account.amount = 6
                    session.flush()
                    raise KeyError
                self.assertEqual((account.amount, self.rows(work.kind)), (5, [(1, 5)]))
                session.rollback()

    def test_a_nested_block_is_a_savepoint(self):
        for driver in ("Session over psycopg2", "Session over MySQLdb"):
            work = self.connect(driver)
            with self.subTest(driver):
                with self.client.transaction() as tx:
                    tx.enlist(NAME[work.kind], work.raw)
                    work.insert(1)
                    with self.assertRaises(sqlalchemy.exc.IntegrityError), work.raw.begin_nested():
                        work.insert(1)
                    work.insert(2)
                self.assertEqual(self.rows(work.kind), [(1, 1), (2, 1)])

    def test_blocks_of_both_in_either_order(self):
        for driver in ("Connection over psycopg2", "Connection over PyMySQL"):
            work = self.connect(driver)
            with self.subTest(driver):
                with work.raw.begin(), self.client.transaction() as tx:
                    tx.enlist(NAME[work.kind], work.raw)
                    work.insert(1)
                self.assertEqual(self.rows(work.kind), [(1, 1)])
                with self.assertRaisesRegex(assent.InvalidRequest, "do not commit it alone"):
                    with self.client.transaction() as tx, work.raw.begin():
                        tx.enlist(NAME[work.kind], work.raw)
                        work.insert(2)
                self.assertEqual(self.rows(work.kind), [(1, 1)])

    def test_what_cannot_be_enlisted(self):
        engine = sqlalchemy.create_engine(servers["postgresql"].url())
        tx = self.client.transaction()
        self.refused("twophase=True", tx.enlist, "orders", sqlalchemy.orm.Session(engine, twophase=True))
        self.refused("Engine of SQLAlchemy cannot", tx.enlist, "orders", engine)
        automatic = AlchemyWork(engine.connect().execution_options(isolation_level="AUTOCOMMIT"), "postgresql", engine)
        self.refused("set its autocommit to False", tx.enlist, "orders", automatic.raw)
        automatic.close()


class Psycopg2sOwnCases(EnlistTest):
    """What psycopg2 tests of its two-phase calls (ConnectionTwoPhaseTests), for an enlisted connection."""

    def test_what_is_seen_at_each_step(self):
        work, seen = self.connect("psycopg2"), []
        self.coordinator.before_decision = lambda: seen.append(
            (len(self.prepared()), self.rows("postgresql"), work.raw.status))
        ready = psycopg2.extensions.STATUS_READY
        with self.client.transaction() as tx:
            self.assertEqual(work.raw.status, ready)
            tx.enlist("orders", work.raw)
            self.assertEqual(work.raw.status, psycopg2.extensions.STATUS_BEGIN)
            work.insert(1)
            self.assertEqual((self.prepared(), self.rows("postgresql")), ([], []))
        self.assertEqual(seen, [(1, [], ready)])
        self.assertEqual((self.prepared(), self.rows("postgresql"), work.raw.status), ([], [(1, 1)], ready))

    def test_the_id_is_one_that_it_reads(self):
        work, listed = self.connect("psycopg2"), []
        reader = self.connect("psycopg2")
        self.coordinator.before_decision = lambda: listed.extend(reader.raw.tpc_recover())
        with self.client.transaction() as tx:
            tx.enlist("orders", work.raw)
            work.insert(1)
        xid, given = listed[0], self.coordinator.xids(tx.id)["orders"]
        self.assertEqual((xid.format_id, xid.gtrid.encode(), xid.bqual.encode()),
                         (given.format_id, given.gtrid, given.bqual))
        self.assertEqual(xid.owner, "app")

    def test_connections_with_rows_of_another_kind(self):
        for factory in (psycopg2.extras.RealDictConnection, psycopg2.extras.NamedTupleConnection):
            work = Work(psycopg2.connect(servers["postgresql"].dsn(), connection_factory=factory), "postgresql")
            self.addCleanup(work.close)
            with self.client.transaction() as tx:
                tx.enlist("orders", work.raw)
                work.insert(1)
            self.assertEqual(self.rows("postgresql"), [(1, 1)])
            self.setUpCase()

    def test_the_session_s_own_characteristics_stay(self):
        work = self.connect("psycopg2")
        work.raw.set_session(isolation_level="SERIALIZABLE", deferrable=True)
        with self.client.transaction() as tx:
            tx.enlist("orders", work.raw)
            work.insert(1)
            self.assertEqual(work.execute("SHOW transaction_isolation"), [("serializable",)])
        self.assertEqual(self.rows("postgresql"), [(1, 1)])
        self.assertEqual(work.execute("SHOW transaction_isolation"), [("serializable",)])
        work.rollback()


class BadInput(EnlistTest):
    def test_connections_that_are_none(self):
        tx = self.client.transaction()
        for given in (None, "postgresql://", object()):
            self.refused("cannot be enlisted: give a connection of psycopg2", tx.enlist, "orders", given)
        self.refused("is no name of a resource manager", tx.enlist, "", self.connect("psycopg2").raw)
        asynchronous = psycopg2.connect(servers["postgresql"].dsn(), async_=1)
        self.addCleanup(asynchronous.close)
        self.refused("is asynchronous", tx.enlist, "orders", asynchronous)
        for driver, autocommit in (("psycopg2", True), ("psycopg", True)):
            work = self.connect(driver)
            work.raw.autocommit = autocommit
            self.refused("set its autocommit to False", tx.enlist, "orders", work.raw)
        closed = DRIVERS["psycopg"]()
        closed.close()
        self.refused("orders: the connection is closed", tx.enlist, "orders", closed.raw)
        self.assertEqual(self.coordinator.calls("enlist", "rollback"), [])

    def test_twice(self):
        tx, one = self.client.transaction(), self.connect("psycopg2")
        tx.enlist("orders", one.raw)
        self.refused("orders is enlisted already", tx.enlist, "orders", self.connect("psycopg").raw)
        self.refused("the connection is enlisted already, as orders", tx.enlist, "ledger", one.raw)
        self.refused("ledger is the same database as orders", tx.enlist, "ledger", self.connect("psycopg").raw)
        tx.enlist("ledger", self.connect("psycopg", "other").raw)
        tx.enlist("billing", self.connect("PyMySQL").raw)
        self.refused("stock is the same database as billing", tx.enlist, "stock", self.connect("MySQLdb").raw)
        tx.enlist("stock", self.connect("MySQLdb", "other").raw)
        tx.rollback()

    def test_a_wrong_resource_manager_ends_the_transaction(self):
        for name, pattern in (("billing", "configured as kind 'mariadb', and the connection is one to postgresql"),
                              ("nobody", "no resource manager is called nobody")):
            work, tx = self.connect("psycopg2"), self.client.transaction()
            self.refused(pattern, tx.enlist, name, work.raw)
            self.assertFalse(tx.open)
            self.refused(pattern, tx.commit)
            self.usable(work)

    def test_a_resource_manager_that_is_overloaded_is_an_abort_at_once(self):
        work, tx = self.connect("psycopg2"), self.client.transaction()
        self.coordinator.overloaded = {"orders"}
        error = self.refused("overloaded: orders has too many branches", tx.enlist, "orders", work.raw,
                             kind=assent.Aborted)
        self.assertTrue(error.retryable)
        self.assertEqual(self.coordinator.calls("rollback"), [("rollback",)])
        self.usable(work)

    def test_a_server_that_cannot_prepare(self):
        server = servers["postgresql"]
        with unittest.mock.patch.object(PostgreSqlBranch, "_rows", lambda self, sql: [(False, 0, "on", "1", "app")]):
            self.refused("set max_prepared_transactions", self.client.transaction().enlist, "orders",
                         self.connect("psycopg2").raw)
        self.assertEqual(server.sql("SHOW max_prepared_transactions"), [("50",)])


if __name__ == "__main__":
    unittest.main(verbosity=2)
