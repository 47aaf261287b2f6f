"""The kinds of resource managers that are databases (rm/postgresql, rm/mariadb), against servers of their own: starts
them, and runs the checks, which are C++."""

import os
import subprocess
import sys
import unittest

from databases import MariaDb, PostgreSql, standby_of

BINARIES = os.environ["ASSENT_RM_CHECKS"]


def run_checks(name, environment):
    environment = {f"ASSENT_RM_{key}": value for key, value in environment.items()}
    return subprocess.run([os.path.join(BINARIES, name)], env={**os.environ, **environment}).returncode


class RmDatabases(unittest.TestCase):
    def test_postgresql(self):
        server = PostgreSql(names=("app", "other"))
        self.addCleanup(server.close)
        server.sql("CREATE ROLE assent_rec LOGIN", "GRANT app TO assent_rec")
        for name in ("app", "other"):
            server.sql("CREATE TABLE rows (id bigint)", database=name, user="app")
        standby = standby_of(server)
        self.addCleanup(standby.close)
        self.assertEqual(run_checks("rm_postgresql_test", {
            "DSN": server.dsn(user="assent_rec"), "APP": server.dsn(), "SUPER": server.dsn(user="postgres"),
            "OTHER": server.dsn(database="other"), "STRANGER": server.dsn(user="stranger"),
            "STANDBY": standby.dsn(user="assent_rec"), "STANDBY_SUPER": standby.dsn(user="postgres")}), 0)

    def test_mariadb(self):
        server = MariaDb()
        self.addCleanup(server.close)
        server.sql("CREATE TABLE app.rows_ (id bigint) ENGINE=InnoDB", "CREATE USER assent_rec", "CREATE USER weak",
                   "GRANT CONNECTION ADMIN ON *.* TO assent_rec")
        self.assertEqual(run_checks("rm_mariadb_test", {"SOCKET": server.socket}), 0)


if __name__ == "__main__":
    sys.exit(unittest.main())
