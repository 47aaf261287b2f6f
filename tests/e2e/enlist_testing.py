"""What the tests of enlisted connections share: servers, a coordinator for each test, and all drivers behind one
small interface."""

import contextlib
import functools
import os
import sys
import time
import unittest
import warnings

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PACKAGE = os.path.join(ROOT, "client", "python")
sys.path[:0] = [PACKAGE, HERE]

import MySQLdb  # noqa: E402
import psycopg  # noqa: E402
import psycopg2  # noqa: E402
import pymysql  # noqa: E402
import sqlalchemy  # noqa: E402
import sqlalchemy.orm  # noqa: E402
from sqlalchemy.pool import NullPool  # noqa: E402

import assent  # noqa: E402
from databases import DEADLINE, MariaDb, PostgreSql  # noqa: E402
from small_coordinator import SmallCoordinator  # noqa: E402

KINDS = {"orders": "postgresql", "billing": "mariadb", "ledger": "postgresql", "stock": "mariadb"}
TABLE = "CREATE TABLE accounts (id int PRIMARY KEY, amount int NOT NULL)"
warnings.simplefilter("ignore", sqlalchemy.exc.RemovedIn20Warning)
servers = {}  # by kind; of the test process


def start_servers():
    """For setUpModule."""
    servers["postgresql"] = PostgreSql(("app", "other"))
    servers["mariadb"] = MariaDb(("app", "other"))
    servers["postgresql"].sql(TABLE, database="app", user="app")
    servers["mariadb"].sql("USE app", TABLE + " ENGINE=InnoDB")


def stop_servers():
    """For tearDownModule."""
    while servers:
        servers.popitem()[1].close()


class Work:
    """What a test does on a connection, whichever driver it is of. `raw`: what is enlisted."""

    def __init__(self, raw, kind):
        self.raw, self.kind = raw, kind

    def execute(self, sql):
        with contextlib.closing(self.raw.cursor()) as cursor:
            cursor.execute(sql)
            return [tuple(row.values()) if isinstance(row, dict) else tuple(row)
                    for row in cursor.fetchall()] if cursor.description else []

    def commit(self):
        self.raw.commit()

    def rollback(self):
        self.raw.rollback()

    def close(self):
        with contextlib.suppress(pymysql.Error, MySQLdb.Error):  # closed already
            self.raw.close()

    def driver(self):
        """The driver's connection."""
        return self.raw

    def insert(self, number, amount=1):
        self.execute(f"INSERT INTO accounts VALUES ({number}, {amount})")


class AlchemyWork(Work):
    """Over a Connection or a Session."""

    def __init__(self, raw, kind, engine):
        super().__init__(raw, kind)
        self._engine = engine

    def execute(self, sql):
        result = self.raw.execute(sqlalchemy.text(sql))
        return [tuple(row) for row in result] if result.returns_rows else []

    def commit(self):
        if isinstance(self.raw, sqlalchemy.orm.Session):
            self.raw.commit()

    def rollback(self):
        (self.raw if isinstance(self.raw, sqlalchemy.orm.Session) else self.driver()).rollback()

    def close(self):
        self.raw.close()
        self._engine.dispose()

    def driver(self):
        connection = self.raw.connection
        return (connection() if callable(connection) and isinstance(self.raw, sqlalchemy.orm.Session)
                else self.raw).connection.dbapi_connection


def _alchemy(kind, driver, session):
    def connect(database="app"):
        engine = sqlalchemy.create_engine(servers[kind].url(driver, database), poolclass=NullPool)
        return AlchemyWork(sqlalchemy.orm.Session(engine) if session else engine.connect(), kind, engine)
    return connect


DRIVERS = {
    "psycopg2": lambda database="app": Work(psycopg2.connect(servers["postgresql"].dsn(database)), "postgresql"),
    "psycopg": lambda database="app": Work(psycopg.connect(servers["postgresql"].dsn(database)), "postgresql"),
    "PyMySQL": lambda database="app": Work(pymysql.connect(**servers["mariadb"].arguments(database)), "mariadb"),
    "MySQLdb": lambda database="app": Work(MySQLdb.connect(**servers["mariadb"].arguments(database)), "mariadb"),
    "Connection over psycopg2": _alchemy("postgresql", "postgresql+psycopg2", session=False),
    "Session over psycopg2": _alchemy("postgresql", "postgresql+psycopg2", session=True),
    "Connection over PyMySQL": _alchemy("mariadb", "mysql+pymysql", session=False),
    "Session over MySQLdb": _alchemy("mariadb", "mysql+mysqldb", session=True),
}
NAME = {"postgresql": "orders", "mariadb": "billing"}


def each_driver(kind=None):
    """Runs a test for each driver, or each to a kind of database, with a new connection as its argument."""
    def decorate(test):
        @functools.wraps(test)
        def run(self):
            for driver in DRIVERS:
                work = DRIVERS[driver]()
                with contextlib.closing(work), self.subTest(driver):
                    if kind in (None, work.kind):
                        self.setUpCase()
                        test(self, work)
        return run
    return decorate


class EnlistTest(unittest.TestCase):
    def setUp(self):
        self.coordinator = SmallCoordinator(KINDS)
        self.addCleanup(self.coordinator.close)
        self.client = assent.connect(self.coordinator.address, timeout=5)
        self.addCleanup(self.client.close)
        self.addCleanup(self.nothing_is_left)
        self.empty_tables()

    def nothing_is_left(self):
        """A test that leaves branches ends them."""
        self.assertEqual(self.coordinator.calls("CONTRADICTION"), [])
        for gid in servers["postgresql"].prepared():
            servers["postgresql"].sql(f"ROLLBACK PREPARED '{gid}'", database="app")
        for gtrid, bqual in servers["mariadb"].prepared():
            with contextlib.suppress(pymysql.Error):  # a test that failed holds it
                servers["mariadb"].sql(f"XA ROLLBACK '{gtrid.decode()}','{bqual.decode()}',1095978580")

    def connect(self, driver, database="app"):
        work = DRIVERS[driver](database)
        self.addCleanup(work.close)
        return work

    def empty_tables(self):
        servers["postgresql"].sql("SET lock_timeout = '20s'", "TRUNCATE accounts", database="app")
        servers["mariadb"].sql("SET lock_wait_timeout = 20", "TRUNCATE app.accounts")

    def setUpCase(self):
        self.empty_tables()
        self.coordinator.told.clear()

    def rows(self, kind):
        if kind == "postgresql":
            return servers[kind].sql("SELECT * FROM accounts ORDER BY id", database="app")
        return servers[kind].sql("SELECT * FROM app.accounts ORDER BY id")

    def prepared(self, kind=None):
        return [one for server in servers for one in servers[server].prepared() if kind in (None, server)]

    def refused(self, pattern, call, *arguments, kind=assent.InvalidRequest, **keywords):
        with self.assertRaisesRegex(kind, pattern) as caught:
            call(*arguments, **keywords)
        return caught.exception

    def usable(self, work):
        """The next transactions of the connection are its own again."""
        work.rollback()
        before = self.rows(work.kind)
        if isinstance(work.raw, sqlalchemy.engine.Connection):
            with work.raw.begin() as own:
                work.insert(901)
                own.rollback()
        else:
            work.insert(901)
            work.rollback()
        self.assertEqual(self.rows(work.kind), before)
        driver = work.driver()
        if work.kind == "postgresql":
            self.assertEqual((driver.info.transaction_status, driver.autocommit), (0, False))
            self.assertEqual(work.execute("SHOW lock_timeout"), [("0",)])
        else:
            self.assertEqual(work.execute("SELECT @@innodb_lock_wait_timeout"), [(50,)])
            self.assertNotIn("query", vars(driver))
        work.rollback()

    def wait_until(self, condition, what):
        deadline = time.monotonic() + DEADLINE
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"never: {what}")
            time.sleep(0.01)

    def end_as_coordinator(self, txn, commit):
        """As a coordinator does where the application did not, by the ids that it gave."""
        word, xids = "COMMIT" if commit else "ROLLBACK", self.coordinator.xids(txn)
        xid = xids.get("orders")
        if xid is not None and xid.text in servers["postgresql"].prepared():
            servers["postgresql"].sql(f"{word} PREPARED '{xid.text}'", database="app")
        xid = xids.get("billing")
        if xid is not None and (xid.gtrid, xid.bqual) in servers["mariadb"].prepared():
            def ended():
                try:
                    servers["mariadb"].sql(f"XA {word} '{xid.gtrid.decode()}','{xid.bqual.decode()}',{xid.format_id}")
                    return True
                except pymysql.Error:  # its connection is closed, but not yet there
                    return False
            self.wait_until(ended, "the session that holds the branch ends")

    @contextlib.contextmanager
    def warned(self, *patterns):
        """Of branches that are not finished."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        texts = [str(one.message) for one in caught if issubclass(one.category, assent.UnfinishedWarning)]
        self.assertEqual(len(texts), len(patterns), texts)
        for text, pattern in zip(texts, patterns):
            self.assertRegex(text, pattern)
