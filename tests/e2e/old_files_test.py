"""A node's files, put back from an older copy or run twice, do not pass for the node (R3)."""

import os
import shutil
import signal
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from nodes import NodesTest  # noqa: E402


class OldFilesTest(NodesTest):
    name = "old_files"
    first = ("k", "old")

    def copy(self, node, name):
        shutil.copytree(self.nodes.path(node), self.nodes.path(name))

    def put_back(self, name, node, *parts):
        shutil.rmtree(self.nodes.path(node, *parts))
        shutil.copytree(self.nodes.path(name, *parts), self.nodes.path(node, *parts))

    def confirm_a_position_above_the_copys(self):
        """Until the register shows more than the copy holds."""
        registers = self.nodes.path("directory", "nodes", "n2")

        def confirmed():
            with open(os.path.join(registers, max(os.listdir(registers)))) as file:
                return file.read().partition("confirmed s1")[2].splitlines()[0]
        before = confirmed()
        self.put("k", "new")
        self.nodes.await_that("a renewal", lambda: confirmed() != before)

    def test_copy_of_a_stopped_node_is_refused_and_the_node_joins_again_without_it(self):
        self.nodes.stop("n2")
        self.copy("n2", "copy")
        self.nodes.start("n2")
        self.nodes.await_members("s1", "n1", "n2")
        self.put("k", "new")
        self.nodes.kill("n1", "n2")
        self.put_back("copy", "n2")
        for _ in range(3):  # as whatever starts it again and again does
            code, said = self.nodes.refused("n2")
            self.assertEqual(code, 1, said)
            self.assertIn("these files are older than what n2 confirmed at ", said)
            self.assertIn("move these aside", said)
        self.nodes.start("n1")
        shutil.rmtree(self.nodes.path("n2"))
        self.nodes.start("n2")
        self.nodes.await_members("s1", "n1", "n2")
        self.expect("k", "new")

    def test_replica_put_back_alone_takes_no_part(self):
        self.nodes.stop("n2")
        self.copy("n2", "copy")
        self.nodes.start("n2")
        self.nodes.await_members("s1", "n1", "n2")
        self.confirm_a_position_above_the_copys()
        self.nodes.kill("n1", "n2")
        self.put_back("copy", "n2", "s1")
        self.nodes.start("n2")
        self.nodes.await_that("n2 to say so", lambda: "was durable in them" in self.nodes.log("n2"))
        row = self.nodes.status()[("s1", "n2")]
        self.assertEqual(row["role"], "halted")
        self.assertIn("move its directory aside", row["state"])
        self.nodes.start("n1")
        self.nodes.await_serving()
        self.expect("k", "new")

    def test_only_copy_of_a_group_is_held_to_it_too(self):
        self.nodes.stop("n3")
        self.copy("n3", "copy")
        self.nodes.start("n3")
        self.nodes.await_serving()
        self.put("k", "new")
        self.nodes.kill("n3")
        self.put_back("copy", "n3")
        code, said = self.nodes.refused("n3")
        self.assertEqual(code, 1, said)
        self.assertIn("these files are older than what n3 confirmed at ", said)

    def test_copy_does_not_run_beside_the_original(self):
        self.nodes.signal("n2", signal.SIGSTOP)
        self.copy("n2", "copy")
        self.nodes.write_config("copy", 2, data="copy", port=7)
        code, said = self.nodes.refused("copy")  # it is seen to live though it stands still
        self.assertEqual(code, 1, said)
        self.assertIn(f"n2 runs already at {self.nodes.addresses[1]}, process ", said)
        self.nodes.signal("n2", signal.SIGCONT)
        self.nodes.await_members("s1", "n1", "n2")
        code, said = self.nodes.refused("copy")
        self.assertEqual(code, 1, said)
        self.put("k", "new")
        self.expect("k", "new")

    def test_moved_files_start_at_once_after_a_stop_in_order(self):
        self.nodes.stop("n2")
        os.rename(self.nodes.path("n2"), self.nodes.path("moved"))
        shutil.copytree(self.nodes.path("moved"), self.nodes.path("n2"))
        self.nodes.start("n2")
        self.nodes.await_members("s1", "n1", "n2")

    def test_release_is_refused_while_the_node_runs(self):
        code, out, err = self.nodes.run("directory", "release", "n2", "--config", self.nodes.path("n1.toml"))
        self.assertEqual(code, 1, out + err)
        self.assertIn("n2 runs at " + self.nodes.addresses[1], err)

    def test_process_whose_node_another_one_holds_stops_taking_part(self):
        self.nodes.signal("n2", signal.SIGSTOP)
        code, out, err = self.nodes.run("directory", "release", "n2", "--config", self.nodes.path("n1.toml"))
        self.assertEqual(code, 0, out + err)  # wrongly: it stands still
        self.copy("n2", "copy")
        self.nodes.write_config("copy", 2, data="copy", port=7)
        self.nodes.start("copy")
        self.nodes.await_that("the copy to run", lambda: "listens on" in self.nodes.log("copy"))
        self.nodes.signal("n2", signal.SIGCONT)
        self.nodes.await_that("the original to stop", lambda: "this process must not go on" in self.nodes.log("n2"))
        self.assertEqual(self.nodes.status()[("s1", "n2")]["role"], "halted")


if __name__ == "__main__":
    unittest.main(verbosity=2)
