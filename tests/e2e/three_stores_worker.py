"""One application of three_stores_test.py: writes a row to PostgreSQL, one to MariaDB and a key to the shards in each
transaction, until it is killed.

    three_stores_worker.py CONNECT POSTGRESQL-DSN MARIADB-ARGUMENTS(JSON) NAME LOG

To LOG it writes a line before each transaction, and its outcome after it."""

import json
import os
import sys
import time
import warnings

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(HERE)), "client", "python")]

import psycopg2  # noqa: E402
import pymysql  # noqa: E402

import assent  # noqa: E402


def main():
    connect, dsn, arguments, name, path = sys.argv[1:]
    warnings.simplefilter("ignore")  # what could not be told on its own connection is the cluster's to end
    log = open(path, "a", buffering=1)
    cluster = assent.connect(connect, timeout=20)
    number = 0
    while True:
        number += 1
        id_ = f"{name}-{os.getpid()}-{number}"
        shop = books = None
        outcome = "not begun"
        try:
            shop = psycopg2.connect(dsn, connect_timeout=5)
            books = pymysql.connect(connect_timeout=5, read_timeout=15, **json.loads(arguments))
            log.write(f"begin {id_}\n")
            outcome = "aborted"  # unless the commit says otherwise, nothing may stay
            with cluster.transaction(timeout=20) as tx:
                tx.enlist("orders", shop)
                tx.enlist("billing", books)
                with shop.cursor() as cursor:
                    cursor.execute("INSERT INTO moves VALUES (%s)", (id_,))
                with books.cursor() as cursor:
                    cursor.execute("INSERT INTO moves VALUES (%s)", (id_,))
                tx.put(f"moves/{id_}", "1")
            outcome = "committed"
        except assent.OutcomeUnknown:
            outcome = "unknown"
        except assent.Heuristic:
            outcome = "heuristic"
        except (assent.Error, psycopg2.Error, pymysql.Error, OSError):
            time.sleep(0.02)  # somebody is down
        finally:
            if outcome != "not begun":
                log.write(f"{outcome} {id_}\n")
            for connection in (shop, books):
                try:
                    if connection is not None:
                        connection.close()
                except (psycopg2.Error, pymysql.Error, OSError):
                    pass


if __name__ == "__main__":
    main()
