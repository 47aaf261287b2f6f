"""The directory that views are kept in: gone, replaced, with strays in it (R12)."""

import os
import shutil
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from nodes import NodesTest  # noqa: E402


class DirectoryTest(NodesTest):
    name = "directory"
    first = ("a", "1")

    def test_a_node_that_knows_a_directory_makes_none_and_the_others_go_on(self):
        directory, away = self.nodes.path("directory"), self.nodes.path("away")
        self.nodes.stop("n2")
        self.nodes.await_members("s1", "n1")
        os.rename(directory, away)  # a mount that is gone
        code, said = self.nodes.refused("n2")
        self.assertEqual(code, 1, said)
        self.assertIn(f"directory.path: {directory}: no such directory; is it mounted?", said)
        self.assertFalse(os.path.exists(directory))
        os.mkdir(directory)  # its mount point
        code, said = self.nodes.refused("n2")
        self.assertEqual(code, 1, said)
        self.assertIn("is it mounted?", said)
        self.assertEqual(os.listdir(directory), [])
        # Another one in its place.
        os.rmdir(directory)
        self.nodes.write_config("other", 2, data="other")
        self.nodes.start("other")
        self.nodes.await_that("another directory", lambda: os.path.exists(os.path.join(directory, "identity")))
        self.nodes.kill("other")
        code, said = self.nodes.refused("n2")
        self.assertEqual(code, 1, said)
        self.assertIn("this is not the directory that the replicas in", said)
        # The others lost nothing of it; s1, whose only copy needs the directory's word, waits for it.
        self.assertEqual([row["role"] for row in self.nodes.status().values() if row["role"] == "halted"], [])
        shutil.rmtree(directory)
        os.rename(away, directory)
        self.nodes.start("n2")
        self.nodes.await_members("s1", "n1", "n2")
        self.expect("a", "1")
        self.put("a", "2")

    def test_strays_hide_nothing(self):
        group = self.nodes.path("directory", "groups", "s1")
        shutil.copy(os.path.join(group, "node.n1"), os.path.join(group, "node.n1.bak"))
        self.nodes.kill("n1")
        self.expect("a", "1")
        self.nodes.await_members("s1", "n2")
        self.nodes.await_line("n2", "node.n1.bak")
        self.assertEqual(self.nodes.log("n2").count("node.n1.bak"), 1)

    def adopt(self, *arguments):
        configs = [word for node in arguments[0] for word in ("--config", self.nodes.path(f"{node}.toml"))]
        return self.nodes.run("directory", "adopt", *configs, *arguments[1:])

    def test_lost_directory_is_made_anew_from_the_replicas(self):
        directory, away = self.nodes.path("directory"), self.nodes.path("away")
        everyone = ("n1", "n2", "n3")
        self.nodes.kill("n2")  # its copy of s1 is older from here on
        self.nodes.await_members("s1", "n1")
        self.put("a", "2")
        code, out, err = self.adopt(everyone)  # n1 and n3 run
        self.assertEqual(code, 1, out + err)
        self.assertIn("runs on this data directory", err)
        self.nodes.stop("n1", "n3")
        code, out, err = self.adopt(everyone)
        self.assertEqual(code, 1, out + err)
        self.assertIn("it is not lost", err)
        os.rename(directory, away)
        code, out, err = self.adopt(("n1", "n3"))
        self.assertEqual(code, 1, out + err)
        self.assertIn("n2 is not heard", err)
        code, out, err = self.adopt(("n1", "n2"), "--lost", "n3")
        self.assertEqual(code, 1, out + err)
        self.assertIn("of c1 no replica is heard", err)
        self.assertFalse(os.path.exists(directory))
        code, out, err = self.adopt(everyone)
        self.assertEqual(code, 0, out + err)
        self.assertIn("s1 goes on from n1", out)
        code, out, err = self.adopt(everyone)
        self.assertEqual(code, 0, out + err)
        self.assertIn("already", out)
        self.nodes.start_all()
        self.expect("a", "2")
        self.put("b", "1")
        self.nodes.await_members("s1", "n1", "n2")
        # The old one turns up again.
        self.nodes.stop("n1")
        os.rename(directory, self.nodes.path("new"))
        os.rename(away, directory)
        code, said = self.nodes.refused("n1")
        self.assertEqual(code, 1, said)
        self.assertIn("this is not the directory that the replicas in", said)

    def test_node_that_was_given_up_joins_as_a_new_one(self):
        self.nodes.stop("n1", "n2", "n3")
        shutil.rmtree(self.nodes.path("directory"))
        code, out, err = self.adopt(("n1", "n3"), "--lost", "n2")
        self.assertEqual(code, 0, out + err)
        code, said = self.nodes.refused("n2")
        self.assertEqual(code, 1, said)
        self.assertIn("was given up for lost, and another one made without it", said)
        shutil.rmtree(self.nodes.path("n2"))
        self.nodes.start_all()
        self.nodes.await_members("s1", "n1", "n2")
        self.expect("a", "1")


if __name__ == "__main__":
    unittest.main(verbosity=2)
