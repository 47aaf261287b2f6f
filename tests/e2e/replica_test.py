"""One replica of a node that cannot be opened: the others serve, and status says what is wrong."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from nodes import NodesTest  # noqa: E402


class ReplicaTest(NodesTest):
    name = "replica"
    groups = {"c1": ["n1", "n2"], "s1": ["n1", "n2"], "s2": ["n1", "n3"]}

    def damage(self, path):
        """Bits of the log's first records flip, with sound ones behind them."""
        with open(path, "r+b") as file:
            for offset in (6000, 6500, 7000):
                file.seek(offset)
                byte = file.read(1)[0]
                file.seek(offset)
                file.write(bytes([byte ^ 1]))

    def test_damage_in_one_replica_keeps_no_other_down(self):
        for number in range(40):
            code, out, err = self.nodes.run("put", f"a{number}", "x" * 1000)
            self.assertEqual(code, 0, out + err)
        self.nodes.stop("n1")
        log = self.nodes.path("n1", "s1", "log")
        self.damage(os.path.join(log, sorted(name for name in os.listdir(log) if name.startswith("log-"))[0]))
        self.nodes.start("n1")
        self.nodes.await_that("a halted replica", lambda: self.nodes.status()["s1", "n1"]["role"] == "halted")
        self.nodes.await_members("c1", "n1", "n2")
        self.nodes.await_members("s2", "n1", "n3")
        row = self.nodes.status()["s1", "n1"]
        self.assertIn("the replica cannot be opened: damaged", row["state"])
        self.assertIsNone(self.nodes.processes["n1"].poll())
        # As the message says: the replica is made anew from the others.
        self.nodes.stop("n1")
        os.rename(self.nodes.path("n1", "s1"), self.nodes.path("away"))
        self.nodes.start("n1")
        self.nodes.await_members("s1", "n1", "n2")
        for number in range(40):
            self.assertEqual(self.nodes.run("get", f"a{number}")[0], 0)


if __name__ == "__main__":
    unittest.main()
