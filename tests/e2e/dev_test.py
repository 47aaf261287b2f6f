"""`assent dev`, `demo` and `bench --local`: what they say, what they watch, how they end, what they leave behind."""

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from local import DEADLINE, DIRECTORY, PROGRAM, Cluster, Ports, die_with_parent, new_directory, run  # noqa: E402

OK, ERROR, USAGE, UNAVAILABLE = 0, 1, 2, 6


def children(pid):
    """Pids of the processes that `pid` started and that have not ended."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            with open(f"/proc/{int(entry)}/stat") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(entry))
    return found


def await_that(what, holds):
    deadline = time.monotonic() + DEADLINE
    while not holds():
        if time.monotonic() > deadline:
            raise RuntimeError("never: " + what)
        time.sleep(0.02)


class Dev(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster("dev")
        self.addCleanup(lambda: self.cluster.close())

    def said(self):
        with open(self.cluster._log.name) as log:
            return log.read()

    def test_stops_on_interrupt_and_takes_up_its_data_again(self):
        self.assertEqual(self.cluster.run("put", "kept", "1")[0], OK)
        self.assertEqual(self.cluster.stop(), OK)
        for node in ("n1", "n2", "n3"):  # none of them waited in vain for another to be gone first
            with open(os.path.join(self.cluster.directory, node + ".log")) as log:
                self.assertNotIn("stops without having left", log.read())
        before = self.cluster.connect
        self.cluster.start()
        self.assertEqual(self.cluster.connect, before)
        self.assertEqual(self.cluster.run("get", "kept")[:2], (OK, "1\n"))

    def test_second_one_in_the_same_directory_is_told_who_runs_there(self):
        code, out, err = run("dev", "--dir", self.cluster.directory, "--port", str(self.cluster.ports.first))
        self.assertEqual((code, out), (ERROR, ""))
        self.assertIn(f"is in use by process {self.cluster.process.pid}", err)
        self.assertEqual(self.cluster.serving(), 3)

    def test_second_one_on_its_ports_is_told_and_leaves_nothing(self):
        other = os.path.join(DIRECTORY, os.path.basename(self.cluster.directory) + "-other")
        port = self.cluster.ports.first + 1
        code, out, err = run("dev", "--dir", other, "--port", str(port))
        self.assertEqual((code, out), (ERROR, ""))
        self.assertIn(f"port {port} is in use", err)
        self.assertFalse(os.path.exists(other))

    def test_kept_ports_that_are_taken_are_told(self):
        self.assertEqual(self.cluster.stop(), OK)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", self.cluster.ports.first + 2))
            taken.listen()
            code, out, err = run("dev", "--dir", self.cluster.directory)
        self.assertEqual((code, out), (ERROR, ""))
        self.assertIn(f"port {self.cluster.ports.first + 2} is in use", err)

    def test_other_port_than_the_kept_one_is_an_error(self):
        self.assertEqual(self.cluster.stop(), OK)
        code, out, err = run("dev", "--dir", self.cluster.directory, "--port", str(self.cluster.ports.first + 4))
        self.assertEqual((code, out), (USAGE, ""))
        self.assertIn(f"listens on port {self.cluster.ports.first}", err)
        self.assertIn("leave --port out", err)

    def test_node_that_dies_is_told_and_started_again(self):
        before = self.cluster.pid(2)
        os.kill(before, signal.SIGKILL)
        await_that("told", lambda: "n2 was killed by signal 9" in self.said())
        await_that("started again", lambda: "n2 is started again" in self.said())
        self.assertIn("It is started again in 1 s.", self.said())
        await_that("another process", lambda: self.cluster.pid(2) != before)
        self.cluster.await_serving()

    def test_last_words_are_told(self):
        with open(self.cluster.config(3), "a") as config:
            config.write("unheard_of = 1\n")
        os.kill(self.cluster.pid(3), signal.SIGKILL)
        await_that("its words", lambda: "unknown key" in self.said())
        self.assertIn("n3 has ended, with exit code 2; its last words", self.said())
        self.assertEqual(self.cluster.stop(), OK)

    def test_nodes_are_called_assent(self):
        with open(f"/proc/{self.cluster.pid(1)}/comm") as comm:
            self.assertEqual(comm.read(), os.path.basename(PROGRAM) + "\n")
        with open(f"/proc/{self.cluster.pid(1)}/cmdline") as line:
            self.assertEqual(line.read().split("\0")[0], os.path.realpath(PROGRAM))

    def test_lines_to_paste_do_paste(self):
        lines = re.search(r"try +(.*)For development", self.cluster.banner, re.DOTALL).group(1)
        script = "set -e\n" + "\n".join(line.strip() for line in lines.strip().splitlines())
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=DEADLINE,
                              env={"PATH": "/usr/bin:/bin"})
        self.assertEqual(done.returncode, OK, script + done.stderr)
        self.assertIn("accounts/alice = 90", done.stdout)

    def test_files_are_nobody_elses(self):
        self.cluster.stop()
        shutil.rmtree(self.cluster.directory)
        umask = os.umask(0)
        try:
            self.cluster.start()
        finally:
            os.umask(umask)
        self.assertEqual(self.cluster.run("put", "secret", "1")[0], OK)
        checked = 0
        for directory, _, files in os.walk(self.cluster.directory):
            self.assertEqual(stat.S_IMODE(os.stat(directory).st_mode), 0o700, directory)
            for name in files:
                with contextlib.suppress(FileNotFoundError):
                    path = os.path.join(directory, name)
                    self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600, path)
                    checked += 1
        self.assertGreater(checked, 20)


class Starting(unittest.TestCase):
    def setUp(self):
        self.ports = Ports()
        self.addCleanup(self.ports.close)
        self.directory = new_directory("start")
        self.addCleanup(shutil.rmtree, self.directory)

    def test_ports_that_there_are_not(self):
        for port in ("65534", "65535", "0", "70000"):
            directory = os.path.join(self.directory, port)
            code, out, err = run("dev", "--dir", directory, "--port", port)
            self.assertEqual((code, out), (USAGE, ""), port)
            self.assertNotEqual(err, "")
            self.assertFalse(os.path.exists(directory))

    def test_interrupt_ends_a_start(self):
        cluster = Cluster("start")
        self.addCleanup(cluster.close)
        cluster.stop()
        for name in ("n1", "n2", "n3", "directory"):
            shutil.rmtree(os.path.join(cluster.directory, name))
        with open(cluster.config(2)) as config:
            text = config.read()
        with open(cluster.config(2), "w") as config:  # n1 waits for it, in the directory, for ever
            config.write(text.replace('path = "directory"', 'path = "elsewhere"'))
        for wanted in (signal.SIGINT, signal.SIGTERM):
            dev = subprocess.Popen([PROGRAM, "dev", "--dir", cluster.directory], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
            await_that("nodes", lambda: len(children(dev.pid)) == 3)
            dev.send_signal(wanted)
            out, err = dev.communicate(timeout=DEADLINE)
            self.assertEqual((out, err), ("", "assent: stopped before the cluster was up\n"))
            self.assertEqual(dev.returncode, UNAVAILABLE)

    def test_node_that_cannot_start_ends_it_with_its_words(self):
        cluster = Cluster("start")
        self.addCleanup(cluster.close)
        cluster.stop()
        with open(os.path.join(cluster.data(2), "identity"), "w") as identity:
            identity.write("nonsense")
        code, out, err = run("dev", "--dir", cluster.directory)
        self.assertEqual((code, out), (UNAVAILABLE, ""))
        self.assertIn("n2 has ended, with exit code 1; its last words, in", err)
        self.assertIn("identity", err)

    def test_directory_of_something_else_is_refused(self):
        with open(os.path.join(self.directory, "letter"), "w"):
            pass
        code, _, err = run("dev", "--dir", self.directory)
        self.assertEqual(code, USAGE)
        self.assertIn("--dir", err)
        self.assertEqual(os.listdir(self.directory), ["letter"])

    def test_name_that_looks_like_a_uri(self):
        path = os.path.join(self.directory, "file:x")
        dev = subprocess.Popen([PROGRAM, "dev", "--dir", "file:x", "--port", str(self.ports.first)],
                               cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=die_with_parent)
        for line in dev.stdout:
            if "Stop with ^C" in line:
                break
        else:
            self.fail(dev.communicate()[1])
        self.assertTrue(os.path.exists(os.path.join(path, "n1", "c1", "state.sqlite")))
        dev.send_signal(signal.SIGINT)
        dev.communicate(timeout=DEADLINE)
        self.assertEqual(dev.returncode, OK)


class Scratch(unittest.TestCase):
    def test_interrupted_bench_leaves_nothing(self):
        directory = new_directory("bench")
        self.addCleanup(shutil.rmtree, directory)
        for wanted in (signal.SIGINT, signal.SIGTERM):
            bench = subprocess.Popen([PROGRAM, "bench", "transfer", "--local", "--rows", "100", "--seconds", "600"],
                                     cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                     preexec_fn=die_with_parent)
            await_that("nodes", lambda: len([p for c in children(bench.pid) for p in children(c)]) == 3)
            nodes = [p for c in children(bench.pid) for p in children(c)]
            bench.send_signal(wanted)
            bench.communicate(timeout=DEADLINE)
            self.assertEqual(bench.returncode, -wanted)
            self.assertEqual(os.listdir(directory), [])
            self.assertEqual([node for node in nodes if os.path.exists(f"/proc/{node}")], [])

    def test_bench_that_ends_leaves_nothing(self):
        directory = new_directory("bench")
        self.addCleanup(shutil.rmtree, directory)
        done = subprocess.run([PROGRAM, "bench", "transfer", "--local", "--rows", "100", "--seconds", "1", "--clients",
                               "2"], cwd=directory, capture_output=True, text=True, timeout=DEADLINE,
                              preexec_fn=die_with_parent)
        self.assertEqual(done.returncode, OK, done.stderr)
        self.assertRegex(done.stdout, r"audit .* ok\n")
        self.assertEqual(os.listdir(directory), [])

    def test_demo_fits_a_terminal_and_says_what_it_found(self):
        directory = new_directory("demo")
        self.addCleanup(shutil.rmtree, directory)
        done = subprocess.run([PROGRAM, "demo", "--dir", "d", "--transactions", "300", "--crashes", "2"], cwd=directory,
                              capture_output=True, text=True, timeout=2 * DEADLINE, preexec_fn=die_with_parent)
        self.assertEqual(done.returncode, OK, done.stdout + done.stderr)
        lines = done.stdout.splitlines()
        # The program's path, which it shows as it was called, is as long as it is.
        self.assertEqual([line for line in lines if len(line.replace(PROGRAM, "assent")) > 100], [])
        self.assertIn("killed once", done.stdout)
        self.assertNotIn("1 times", done.stdout)
        self.assertEqual(sum(line.endswith("  ok") for line in lines), 6)
        self.assertIn(f"next       {PROGRAM} dev", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
