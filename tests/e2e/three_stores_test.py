"""One commit over a PostgreSQL row, a MariaDB row and a key on a shard, while the coordinator, the nodes of the shards,
both servers and the applications are killed with -9 between any two steps. In the end all three stores have the same
transactions, those told COMMITTED among them and none that was told ABORTED; nothing of ours stays prepared; what others
have prepared does.

ASSENT_FAULTS says how many faults (default: 100)."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from databases import MariaDb, PostgreSql  # noqa: E402
from local import DEADLINE, die_with_parent  # noqa: E402
from nodes import Nodes  # noqa: E402

FAULTS = int(os.environ.get("ASSENT_FAULTS", "100"))
WORKERS = 3
WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "three_stores_worker.py")
PLANTED = "somebody else's"


class ThreeStores(unittest.TestCase):
    def setUp(self):
        self.postgresql = PostgreSql(fsync="on")
        self.addCleanup(self.postgresql.close)
        self.mariadb = MariaDb(**{"innodb-flush-log-at-trx-commit": 1, "sync-binlog": 1})
        self.addCleanup(self.mariadb.close)
        self.postgresql.sql("CREATE TABLE moves (id text PRIMARY KEY)", database="app", user="app")
        self.postgresql.sql("CREATE ROLE assent_rec LOGIN", "GRANT app TO assent_rec")
        self.mariadb.sql("CREATE TABLE app.moves (id varchar(64) PRIMARY KEY) ENGINE=InnoDB", "CREATE USER assent_rec",
                         "GRANT CONNECTION ADMIN ON *.* TO assent_rec")
        # What is not ours is left alone.
        self.postgresql.sql(f"BEGIN; INSERT INTO moves VALUES ('planted'); PREPARE TRANSACTION $${PLANTED}$$",
                            database="app", user="app")
        self.mariadb.sql("XA START 'planted'", "INSERT INTO app.moves VALUES ('planted')", "XA END 'planted'",
                         "XA PREPARE 'planted'")
        self.nodes = Nodes("three-stores", {"c1": ["n3", "n1"], "s1": ["n1", "n2"], "s2": ["n2", "n3"]})
        self.addCleanup(self.nodes.close)
        for node in range(1, 4):
            with open(self.nodes.path(f"n{node}.toml"), "a") as config:
                config.write(f'[[resource_managers]]\nname = "orders"\nkind = "postgresql"\n'
                             f'dsn = "{self.postgresql.dsn(user="assent_rec")}"\n'
                             f'[[resource_managers]]\nname = "billing"\nkind = "mariadb"\n'
                             f'dsn = "host=127.0.0.1 port={self.mariadb.port} user=assent_rec"\n')
        self.nodes.start_all()
        self.workers = {}
        self.addCleanup(self.stop_workers)

    def start_worker(self, name):
        open(self.nodes.path(name + ".outcomes"), "a").close()
        self.workers[name] = subprocess.Popen(
            ["/usr/bin/python3", "-B", WORKER, self.nodes.connect, self.postgresql.dsn(),
             json.dumps(self.mariadb.arguments()), name, self.nodes.path(name + ".outcomes")],
            preexec_fn=die_with_parent)

    def stop_workers(self):
        while self.workers:
            _, process = self.workers.popitem()
            process.kill()
            process.wait()

    def outcomes(self):
        """Each transaction, with the last that is known of it."""
        outcomes = {}
        for name in (f"w{i}" for i in range(WORKERS)):
            with open(self.nodes.path(name + ".outcomes")) as log:
                for line in log:
                    word, _, id_ = line.rstrip("\n").partition(" ")
                    outcomes[id_] = word
        return outcomes

    def committed(self):
        return sum(outcome == "committed" for outcome in self.outcomes().values())

    def await_committed(self, more):
        """So that the next fault meets work under way."""
        wanted = self.committed() + more
        self.nodes.await_that(f"{wanted} commits", lambda: self.committed() >= wanted)

    def fault(self, choose):
        kind = choose.choice(["worker", "worker", "coordinator", "node", "postgresql", "mariadb", "both"])
        if kind == "worker":
            name = choose.choice(sorted(self.workers))
            self.workers[name].kill()
            self.workers.pop(name).wait()
            self.start_worker(name)
        elif kind in ("coordinator", "node"):
            primaries = [node for (group, node), row in self.nodes.status().items()
                         if group == "c1" and row["role"] == "primary"]
            node = primaries[0] if kind == "coordinator" and primaries else choose.choice(["n1", "n2", "n3"])
            self.nodes.kill(node)
            self.nodes.start(node)
        else:
            if kind in ("postgresql", "both"):
                self.postgresql.stop(signal.SIGQUIT)  # as kill -9 of all its processes
            if kind in ("mariadb", "both"):
                self.mariadb.stop(signal.SIGKILL)
            time.sleep(choose.random())  # how long it is down
            if kind in ("postgresql", "both"):
                self.postgresql.start()
            if kind in ("mariadb", "both"):
                self.mariadb.start()
        return kind

    def nothing_is_prepared(self):
        return self.postgresql.prepared() == [PLANTED] and self.mariadb.prepared() == [(b"planted", b"")]

    def test_all_agree_whatever_is_killed(self):
        seed = int(os.environ.get("ASSENT_SEED", str(time.time_ns() % 1_000_000)))
        choose = random.Random(seed)
        for i in range(WORKERS):
            self.start_worker(f"w{i}")
        counts = {}
        for _ in range(FAULTS):
            self.await_committed(choose.randrange(1, 6))
            time.sleep(choose.random() * 0.05)
            kind = self.fault(choose)
            counts[kind] = counts.get(kind, 0) + 1
        self.stop_workers()
        self.nodes.await_whole()

        ours = [gid for gid in self.postgresql.prepared() if gid != PLANTED]
        self.nodes.await_that("nothing of ours is prepared", self.nothing_is_prepared)
        shop = {id_ for id_, in self.postgresql.sql("SELECT id FROM moves", database="app")}
        books = {id_ for id_, in self.mariadb.sql("SELECT id FROM app.moves")}
        code, out, err = self.nodes.run("scan", "moves/", "-o", "json")
        self.assertEqual(code, 0, err)
        keys = {row["key"].removeprefix("moves/") for row in json.loads(out)}
        outcomes = self.outcomes()
        told = {word: sum(one == word for one in outcomes.values()) for word in sorted(set(outcomes.values()))}
        print(f"seed {seed}: faults {counts}, told {told}, in all three stores {len(keys)}, prepared when the last "
              f"application had died {len(ours)}")
        self.assertEqual(shop ^ keys, set(), "PostgreSQL and the shards differ")
        self.assertEqual(books ^ keys, set(), "MariaDB and the shards differ")
        for id_, outcome in outcomes.items():
            if outcome == "committed":
                self.assertIn(id_, keys, "told COMMITTED, and lost")
            elif outcome == "aborted":
                self.assertNotIn(id_, keys, "told ABORTED, and committed")
        self.assertEqual(told.get("heuristic", 0), 0)


if __name__ == "__main__":
    unittest.main()
