"""An application that dies: works at two databases in one transaction, and stops at the step that it is told, to be
killed there. Arguments: coordinator, PostgreSQL's DSN, MariaDB's arguments as JSON, step."""

import json
import sys
import threading

import psycopg2
import pymysql

import assent
from assent._branch import Branch
from assent._enlisted import Enlisted

coordinator, dsn, arguments, step = sys.argv[1:]
once = threading.Lock()


def stop_at(name):
    if name == step:
        with once:  # the first one says so
            print("here", flush=True)
            threading.Event().wait()


def before(kind, method, name, condition=lambda self: True):
    original = getattr(kind, method)

    def stopping(self, *rest):
        if condition(self):
            stop_at(name)
        return original(self, *rest)
    setattr(kind, method, stopping)


before(Branch, "prepare", "one is prepared", lambda branch: branch.name == "orders")  # the second by name
before(Enlisted, "commit", "decided")
before(Branch, "commit", "one is committed", lambda branch: branch.name == "orders")
prepare = Enlisted.prepare


def stop_when_prepared(self):
    votes = prepare(self)
    stop_at("all are prepared")
    return votes


Enlisted.prepare = stop_when_prepared
with assent.connect(coordinator) as client, client.transaction() as tx:
    orders = tx.enlist("orders", psycopg2.connect(dsn))
    billing = tx.enlist("billing", pymysql.connect(**json.loads(arguments)))
    stop_at("enlisted")
    for connection in (orders, billing):
        connection.cursor().execute("INSERT INTO accounts VALUES (1, 1)")
    tx.put("k", "v")
    stop_at("worked")
