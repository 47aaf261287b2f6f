"""`assent shell`: what a script's lines do, and what a person sees at a terminal."""

import os
import pty
import re
import select
import signal
import stat
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from local import ABORTED, ABSENT, DEADLINE, ERROR, OK, PROGRAM, UNAVAILABLE, UNKNOWN, USAGE  # noqa: E402
from local import Cluster, ClusterTest, die_with_parent, environment_of, new_directory  # noqa: E402


class Script(ClusterTest):
    def shell(self, code, text):
        """stdout of the script, which ends with `code`."""
        return self.check(code, "shell", stdin=text)

    def accounts(self, name):
        a, b = f"{name}/a", f"{name}/b"
        self.check(OK, "exec", f"put {a} 100", f"put {b} 0")
        return a, b, lambda: [self.cluster.run("get", key)[1].strip() for key in (a, b)]

    def test_transactions_and_single_operations(self):
        out = self.shell(OK, "put s1/a 1\nbegin\nadd s1/a 4\nget s1/a\ncommit\nget s1/a\n")
        self.assertRegex(out, r"begun c1\.\d+\.\w+\n")
        self.assertEqual(out.count("s1/a = 5"), 3)
        self.assertRegex(out, r"s1/a = 5  \(version \d+\)\ncommitted c1\.\S+\n$")  # for check KEY version=N
        self.assertNotIn("assent>", out)
        out = self.shell(OK, "# don't \"run\" this\nbegin\nput s1/b 1\nrollback\nget s1/b\n.quit\nput s1/c 1\n")
        self.assertIn("rolled back\ns1/b is absent\n", out)
        self.check(ABSENT, "get", "s1/c")
        self.assertIn("begin | commit | rollback", self.shell(OK, ".help\n"))
        self.assertIn("primary", self.shell(OK, "status\n"))
        self.assertIn("no transactions", self.shell(OK, "txn list --state in-doubt\nexit\n"))

    def test_nothing_of_an_aborted_block_runs(self):
        a, b, money = self.accounts("s2")
        out = self.shell(ABORTED, f"begin\nadd {a} -1000 min=0\nadd {b} 1000\nfrobnicate\ncommit\nput s2/behind 1\n")
        self.assertEqual(money(), ["100", "0"])
        self.assertNotIn(f"{b} =", out)
        self.assertIn("line 2: aborted c1.", self.err)
        self.assertIn("line 3 is not run: the transaction has ended", self.err)
        self.assertIn("line 4 is not run", self.err)
        self.assertIn("rolled back, not committed", self.err)
        self.check(OK, "get", "s2/behind")  # the block is over

    def test_a_block_with_a_bad_line_does_not_commit(self):
        for bad in ("addd {a} -10 min=0", 'put {a} "x', "put {a}", r'put {a} "\q"', "commit now", "begin", "begin now",
                    "txn", "status -o xml", "rollback twice"):
            a, b, money = self.accounts("s3")
            self.shell(USAGE, f"begin\nadd {b} 10\n{bad.format(a=a)}\nadd {b} 20\ncommit\n")
            self.assertEqual(money(), ["100", "0"], bad)

    def test_nested_blocks_end_each_by_itself(self):
        a, b, money = self.accounts("s4")
        self.shell(USAGE, f"begin\nadd {a} 1\nbegin\nadd {b} 1\ncommit\nadd {b} 2\ncommit\nadd {a} 5\n")
        self.assertEqual(money(), ["105", "0"])

    def test_a_begin_that_is_not_understood_lets_nothing_run(self):
        a, b, money = self.accounts("s5")
        for begin in ("begn", "BEGIN", "begin;", "\ufeffbegin", "begin now", 'begin "'):
            self.shell(USAGE, f"{begin}\nadd {a} -1\nadd {b} 1\ncommit\n")
            self.assertIn("not run", self.err)
            self.assertEqual(money(), ["100", "0"], begin)

    def test_line_ends_of_windows(self):
        self.shell(OK, "put s6/a 1\r\nbegin\r\nput s6/b 1\r\nadd s6/a 1\r\ncommit\r\nadd s6/b 1\r")
        self.assertEqual(self.check(OK, "get", "s6/a"), "2\n")
        self.assertEqual(self.check(OK, "get", "s6/b"), "2\n")

    def test_the_exit_code_is_that_of_the_worst(self):
        self.shell(ABORTED, "check s7/none exists\nput s7/a 1\n")
        self.check(OK, "get", "s7/a")  # an abort outside of a block ends nothing else
        self.shell(USAGE, "commit\nput s7/a 1\n")
        self.shell(USAGE, "check s7/none exists\nfrobnicate\n")
        self.shell(USAGE, "frobnicate\nput s7/b 1\n")
        self.check(ABSENT, "get", "s7/b")
        self.shell(OK, "get s7/none\n")
        self.shell(USAGE, "begin\nput " + "k" * 2000 + " 1\nput s7/b 1\ncommit\n")
        self.check(ABSENT, "get", "s7/b")

    def test_a_file_that_ends_inside_a_block_rolls_back(self):
        for end in ("", "put s8/a 2", ".quit\n", "exit\n"):
            self.shell(ABORTED, "begin\nput s8/a 1\n" + end)
            self.assertIn("inside a transaction: rolled back, nothing of it took effect", self.err)
            self.check(ABSENT, "get", "s8/a")

    def test_an_idle_end_lets_nothing_run(self):
        shell = subprocess.Popen([PROGRAM, "shell"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, env=environment_of(connect=self.cluster.connect), preexec_fn=die_with_parent)
        shell.stdin.write("begin\nput s9/a 1\n")
        shell.stdin.flush()
        txn = re.search(r"begun (\S+)", shell.stdout.readline()).group(1)
        deadline = time.monotonic() + DEADLINE
        while txn in self.check(OK, "txn", "list"):
            self.assertLess(time.monotonic(), deadline)
        out, err = shell.communicate("put s9/b 1\nput s9/c 1\ncommit\n", timeout=DEADLINE)
        self.assertEqual(shell.returncode, ABORTED, out + err)
        self.assertIn("line 3: aborted " + txn + ": expired: ", err)
        self.assertIn("line 4 is not run", err)
        self.assertEqual(self.check(OK, "scan", "s9/", "-o", "json"), "[]\n")

    def test_input_that_cannot_be_read(self):
        directory = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, directory)
        done = subprocess.run([PROGRAM, "shell"], stdin=directory, capture_output=True, text=True, timeout=DEADLINE,
                              env=environment_of(connect=self.cluster.connect))
        self.assertEqual((done.returncode, done.stderr), (ERROR, "assent: reading the input: Is a directory\n"))

    def test_an_interrupt_rolls_back(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            shell = subprocess.Popen([PROGRAM, "shell"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=subprocess.PIPE, text=True,
                                     env=environment_of(connect=self.cluster.connect), preexec_fn=die_with_parent)
            shell.stdin.write("begin\nput s10/a 1\n")
            shell.stdin.flush()
            txn = re.search(r"begun (\S+)", shell.stdout.readline()).group(1)
            shell.send_signal(number)
            _, err = shell.communicate(timeout=DEADLINE)
            self.assertEqual(shell.returncode, -number)
            self.assertIn("interrupted inside a transaction: rolled back", err)
            self.assertNotIn(txn, self.check(OK, "txn", "list"))


class NodesThatStop(unittest.TestCase):
    """One script finds nobody for its begin, another one nobody for its commit."""

    def start(self, cluster, text):
        shell = subprocess.Popen([PROGRAM, "shell"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, env=environment_of(connect=cluster.connect), preexec_fn=die_with_parent)
        give_up = threading.Timer(DEADLINE, shell.kill)
        give_up.start()
        self.addCleanup(give_up.cancel)
        self.type(shell, text)
        return shell

    def type(self, shell, text):
        shell.stdin.write(text)
        shell.stdin.flush()

    def read_until(self, pipe, part):
        lines = [pipe.readline()]
        while part not in lines[-1] and lines[-1]:
            lines.append(pipe.readline())
        return "".join(lines)

    def test_nothing_of_a_failed_begin_runs_and_commit_asks_again(self):
        cluster = Cluster("nodesthatstop")
        self.addCleanup(cluster.close)
        begins = self.start(cluster, "put f/a 1\n")
        commits = self.start(cluster, "put f/y 1\nbegin\nput f/x 1\nget f/x\n")  # the first has it draw tokens
        self.assertIn("committed", begins.stdout.readline())
        self.read_until(commits.stdout, "f/x = 1")
        pids = [cluster.pid(node) for node in (1, 2, 3)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self.type(begins, "begin\nput f/a 2\nput f/b 2\n")
        self.type(commits, "commit\n")
        err = self.read_until(begins.stderr, "line 4 is not run")
        unknown = self.read_until(commits.stderr, "commit asks again")
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        cluster.await_serving()
        out, more = begins.communicate("put f/c 2\ncommit\nput f/d 2\n", timeout=DEADLINE)
        self.assertEqual(begins.returncode, UNAVAILABLE, out + err + more)
        self.assertIn("line 5 is not run: the transaction was not begun", more)
        self.assertEqual([cluster.run("get", f"f/{key}")[1] for key in "abcd"], ["1\n", "", "", "2\n"])
        self.assertRegex(unknown, r"^assent: unknown.*\n.*token c1/\S+, attempt 1\)")
        out, more = commits.communicate("commit\n", timeout=DEADLINE)
        self.assertEqual(commits.returncode, UNKNOWN, out + more)  # the worst that happened
        self.assertIn("committed" if cluster.run("get", "f/x")[0] == OK else "aborted", out + more)


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, cluster, home):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            die_with_parent()
            environment = environment_of({"HOME": home, "XDG_STATE_HOME": "", "TERM": "dumb", "INPUTRC": "/dev/null"},
                                         cluster.connect)
            os.execve(PROGRAM, [PROGRAM, "shell"], environment)
        self.seen = ""

    def read(self, deadline, waits_for):
        """Reads what there is; false: it has ended."""
        if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"no {waits_for} in {self.seen!r}")
        try:
            piece = os.read(self.fd, 4096)
        except OSError:
            piece = b""
        self.seen += piece.decode().replace("\r\n", "\n")
        return bool(piece)

    def expect(self, pattern):
        """Reads on until it comes; what came before it is done with."""
        deadline = time.monotonic() + DEADLINE
        while (match := re.search(pattern, self.seen)) is None:
            if not self.read(deadline, repr(pattern)):
                raise AssertionError(f"it ended without {pattern!r}: {self.seen!r}")
        before, self.seen = self.seen[:match.start()], self.seen[match.end():]
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        """Its exit code; negative: the signal."""
        deadline = time.monotonic() + DEADLINE
        while self.read(deadline, "end"):
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class AtATerminal(ClusterTest):
    def setUp(self):
        self.home = new_directory("home")
        self.addCleanup(subprocess.run, ["rm", "-r", self.home], check=False)

    def start(self, home=None):
        terminal = Terminal(self.cluster, self.home if home is None else home)
        terminal.expect("assent> ")
        return terminal

    def test_interrupt_clears_the_line(self):
        terminal = self.start()
        terminal.type("begin\n")
        terminal.expect(r"begun c1\.\S+.*\n")
        terminal.expect(r"assent\*> ")
        terminal.type("put p1/a 1\n")
        terminal.expect(r"assent\*> $")
        terminal.type("put p1/a 2")
        terminal.expect("put p1/a 2")
        terminal.type("\x03")
        terminal.expect(r"\^C\nassent\*> $")
        terminal.type("\x03")  # on an empty line, inside a transaction: nothing
        terminal.expect(r"\^C\nassent\*> $")
        terminal.type("commit\n")
        terminal.expect("committed")
        terminal.expect("assent> $")
        terminal.type("\x03")  # on an empty line outside of one: leaves
        self.assertEqual(terminal.end(), OK)
        self.assertEqual(self.check(OK, "get", "p1/a"), "1\n")

    def test_leaving_rolls_back_and_says_so(self):
        for how in ("\x04", "exit\n", "quit\n", ".quit\n"):
            terminal = self.start()
            terminal.type("begin\nput p2/a 1\n")
            terminal.expect(r"begun c1\.\S+.*\n")
            terminal.expect(r"put p2/a 1\n.*assent\*> $")
            terminal.type(how)
            self.assertEqual(terminal.end(), OK, terminal.seen)
            self.assertIn("rolled back", terminal.seen)
            self.assertEqual(self.check(OK, "txn", "list"), "no transactions\n")

    def test_a_hangup_rolls_back(self):
        terminal = self.start()
        terminal.type("begin\nput p3/a 1\n")
        terminal.expect(r"begun c1\.\S+.*\n")
        terminal.expect(r"put p3/a 1\n.*assent\*> $")
        os.kill(terminal.pid, signal.SIGHUP)
        self.assertEqual(terminal.end(), -signal.SIGHUP)
        self.assertEqual(self.check(OK, "txn", "list"), "no transactions\n")

    def test_after_an_abort_lines_are_refused(self):
        self.check(OK, "exec", "put p4/a 1", "put p4/b 0")
        terminal = self.start()
        # Pasted in one piece, as terminals do it.
        terminal.type("begin\nadd p4/a -10 min=0\nadd p4/b 10\n")
        terminal.expect("The transaction has ended; nothing of it took effect")
        terminal.expect("the line is not run: the transaction has ended; commit or rollback ends the block")
        terminal.expect("assent!> $")
        terminal.type("commit\n")
        terminal.expect("rolled back, not committed")
        terminal.expect("assent> $")
        terminal.type("exit\n")
        self.assertEqual(terminal.end(), ABORTED)
        self.assertEqual(self.check(OK, "get", "p4/b"), "0\n")

    def test_a_slip_is_a_short_error_and_ends_nothing(self):
        terminal = self.start()
        terminal.type("begin\n")
        terminal.expect(r"assent\*> $")
        terminal.type("putt p5/a 1\n")
        slip = terminal.expect(r"assent\*> $")
        self.assertEqual(slip.count("\n"), 2, slip)  # what was typed, and one line
        terminal.type("put p5/a 1\n")
        terminal.expect(r"assent\*> $")
        terminal.type("commit\n")
        terminal.expect(r"committed .*\nassent> $")  # before it a ^D is the terminal's, and goes with the line
        terminal.type("\x04")
        self.assertEqual(terminal.end(), USAGE)
        self.assertEqual(self.check(OK, "get", "p5/a"), "1\n")

    def test_editing(self):
        terminal = self.start()
        terminal.type("put p6/a grü\x1b[De\x01\x1b[C\x05ß\n")  # to the left, to both ends of the line
        terminal.expect("committed")
        terminal.expect("assent> $")
        self.assertEqual(self.check(OK, "get", "p6/a"), "greüß\n")
        terminal.type("de\tp6/a\n")
        terminal.expect("committed")
        terminal.expect("assent> $")
        terminal.type("c\t")
        terminal.expect("check  commit")
        terminal.type("\x03")
        terminal.expect("assent> $")
        terminal.type("exit\n")
        self.assertEqual(terminal.end(), OK)
        self.assertEqual(self.check(ABSENT, "get", "p6/a"), "")

    def test_looking_around(self):
        terminal = self.start()
        terminal.type("begin\n")
        terminal.expect(r"begun c1\.\S+.*\n")
        terminal.type("txn list\n")
        terminal.expect("active")
        terminal.type("status\n")
        terminal.expect("serving")
        terminal.type("rollback\n")
        terminal.expect("rolled back")
        terminal.type("exit\n")
        self.assertEqual(terminal.end(), OK)

    def test_history_is_kept_for_its_owner_alone(self):
        first = self.start()
        first.type("put p7/a first\n")
        first.expect("committed")
        first.type("exit\n")
        first.end()
        path = os.path.join(self.home, ".assent_history")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        second = self.start()
        second.type("\x10\x10\n")  # ^P twice: before `exit`
        second.expect("put p7/a first\n")
        second.expect("committed")
        second.type("exit\n")
        self.assertEqual(second.end(), OK)

    def test_without_a_home(self):
        for home in ("", os.path.join(self.home, "missing")):
            terminal = self.start(home)
            terminal.type("get p8/none\n")
            terminal.expect("p8/none is absent")
            terminal.type("exit\n")
            self.assertEqual(terminal.end(), OK)


if __name__ == "__main__":
    unittest.main(verbosity=2)
