"""What the commands print: no byte is lost, no error goes unnoticed, and no outcome with it."""

import base64
import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from local import ABORTED, ABSENT, DEADLINE, ERROR, OK, PROGRAM, UNKNOWN, USAGE  # noqa: E402
from local import ClusterTest, die_with_parent, environment_of  # noqa: E402

# In the notation of exec, and the bytes that it stands for.
VALUES = {
    r"lit\x01": rb"lit\x01",
    r'"lit\x01"': b"lit\x01",
    r'"line1\nline2\r\n\ttab\0"': b"line1\nline2\r\n\ttab\0",
    r'"\xff\xfe"': b"\xff\xfe",
    r'"\xed\xa0\x80"': b"\xed\xa0\x80",          # a surrogate
    r'"\xe0\x80\x80"': b"\xe0\x80\x80",          # overlong
    r'"\xf0\x80\x80\x80"': b"\xf0\x80\x80\x80",
    r'"\xf4\x90\x80\x80"': b"\xf4\x90\x80\x80",  # above U+10FFFF
    r'"{\"a\": \"b\", \"c\": [1]}"': b'{"a": "b", "c": [1]}',
    "grüße": "grüße".encode(),
    r'"\xc2\x9b31m\x1b[31m"': b"\xc2\x9b31m\x1b[31m",  # what a terminal obeys
    r'" a  b "': b" a  b ",
    r'"x = y"': b"x = y",
    r'"C:\\new"': rb"C:\new",
    '""': b"",
}


def bytes_of(row, name):
    """Of JSON or CSV."""
    if row.get(name + "_base64"):
        assert not row[name], row
        return base64.b64decode(row[name + "_base64"], validate=True)
    return row[name].encode()


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def run_bytes(cluster, *arguments, stdout=subprocess.PIPE, **keywords):
    done = subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                          timeout=DEADLINE, env=environment_of(connect=cluster.connect), **keywords)
    return done.returncode, done.stdout, done.stderr.decode()


class Output(ClusterTest):
    def test_every_value_and_key_comes_back(self):
        self.check(OK, "exec", *[f"put v/{i:02} {text}" for i, text in enumerate(VALUES)])
        for i, stored in enumerate(VALUES.values()):
            code, out, err = run_bytes(self.cluster, "get", f"v/{i:02}")
            self.assertEqual((code, out), (OK, stored + b"\n"), err)
        _, out, _ = run_bytes(self.cluster, "scan", "v/", "-o", "csv")
        self.assertEqual([bytes_of(row, "value") for row in rows_of(out.decode())], list(VALUES.values()))
        rows = json.loads(self.check(OK, "scan", "v/", "-o", "json"))
        self.assertEqual([bytes_of(row, "value") for row in rows], list(VALUES.values()))
        self.assertEqual(rows[2]["value"], "line1\nline2\r\n\ttab\0")  # JSON can say it
        for form in ("json", "csv"):
            out = self.check(OK, "get", "v/03", "-o", form)
            row, = json.loads(out) if form == "json" else rows_of(out)
            self.assertEqual(bytes_of(row, "value"), b"\xff\xfe")
        # No two look the same in a table, and nothing of it is an escape code.
        table = self.check(OK, "scan", "v/").splitlines()[1:]
        self.assertEqual(len({re.sub(r"^\S+ +| +\d+$", "", line) for line in table}), len(VALUES))
        self.assertTrue(all(line.isprintable() for line in table), table)
        keys = [text for text, key in VALUES.items() if key]
        self.check(OK, "exec", *[f"put {text} key" for text in keys])
        for text in keys:
            done = json.loads(self.check(OK, "exec", f"get {text}", "-o", "json"))
            self.assertEqual(bytes_of(done["results"][0], "key"), VALUES[text])
            self.assertEqual(bytes_of(done["results"][0]["rows"][0], "key"), VALUES[text])

    def test_exec_in_json_names_operations(self):
        done = json.loads(self.check(OK, "exec", "put e/a 1", "add e/n 5", "get e/a", "get e/none", "check e/a exists",
                                     "scan e/ limit=1", "delete e/none", "-o", "json"))
        self.assertEqual(done["outcome"], "committed")
        self.assertRegex(done["txn"], r"^c1\.\d+\.[0-9a-f]+$")
        self.assertEqual([one["operation"] for one in done["results"]],
                         ["put", "add", "get", "get", "check", "scan", "delete"])
        self.assertEqual(done["results"][1]["number"], 5)
        self.assertEqual(done["results"][2]["rows"][0]["value"], "1")
        self.assertEqual(done["results"][3]["rows"], [])
        done = json.loads(self.cluster.run("exec", "check e/a absent", "-o", "json")[1])
        self.assertEqual(done["outcome"], "aborted")
        self.assertTrue(done["reason"])

    def test_exec_in_csv_has_results(self):
        self.check(OK, "exec", "put c/a 1", "put c/b 2")
        rows = rows_of(self.check(OK, "exec", "scan c/", "get c/none", "add c/n 5", "put c/d x", "-o", "csv"))
        self.assertEqual({row["outcome"] for row in rows}, {"committed"})
        self.assertEqual([(row["index"], row["operation"], row["key"], row["value"], row["number"]) for row in rows],
                         [("0", "scan", "c/a", "1", ""), ("0", "scan", "c/b", "2", ""), ("1", "get", "c/none", "", ""),
                          ("2", "add", "c/n", "", "5"), ("3", "put", "c/d", "", "")])
        self.assertEqual([bool(row["version"]) for row in rows], [True, True, False, False, False])
        code, out, _ = self.cluster.run("exec", "check c/a absent", "-o", "csv")
        row, = rows_of(out)
        self.assertEqual((code, row["outcome"], row["index"]), (ABORTED, "aborted", ""))

    def test_errors_are_json_where_that_is_asked_for(self):
        for code, arguments in ((ABSENT, ["get", "none"]), (USAGE, ["exec", "frobnicate"]),
                                (USAGE, ["scan", "a", "--limit", "0"]), (ERROR, ["txn", "show", "c1.1.ffffff"])):
            self.assertEqual(self.check(code, *arguments, "-o", "json"), "")
            self.assertTrue(json.loads(self.err)["error"])

    def test_output_that_cannot_be_written(self):
        self.check(OK, "put", "full", "1")
        log = os.path.join(self.cluster.data(1), "c1", "log")
        with open("/dev/full", "wb") as full:
            for arguments in (["get", "full"], ["scan", "full"], ["status"], ["txn", "list"], ["group", "show"],
                              ["completion", "bash"], ["--help"], ["get", "--help"], ["--version"],
                              ["wal", "verify", log], ["node", "--config", self.cluster.config(1), "--check-config"]):
                for name, how in (("No space left on device", {"stdout": full}),
                                  ("Bad file descriptor", {"preexec_fn": lambda: os.close(1)})):
                    code, _, err = run_bytes(self.cluster, *arguments, **how)
                    self.assertEqual((code, err), (ERROR, f"assent: writing the output: {name}\n"), arguments)
            for arguments in (["exec", "put full 2"], ["exec", "put full 2", "-o", "json"], ["put", "full", "2"],
                              ["put", "full", "2", "-o", "csv"], ["delete", "full"]):
                code, _, err = run_bytes(self.cluster, *arguments, stdout=full)
                self.assertEqual(code, ERROR)
                outcome, error = err.splitlines()
                if "json" in arguments:
                    outcome, error = "assent: " + json.loads(outcome)["note"], "assent: " + json.loads(error)["error"]
                self.assertRegex(outcome, r"^assent: committed c1\.\S+$")
                self.assertEqual(error, "assent: writing the output: No space left on device")
            code, _, err = run_bytes(self.cluster, "exec", "check full exists", "-o", "json", stdout=full)
            self.assertEqual(code, ABORTED)  # an outcome is not hidden
            self.assertRegex(json.loads(err.splitlines()[0])["error"], r"^aborted c1\.")

    def test_no_descriptor_of_ours_gets_the_output(self):
        for closed in ([0], [1], [2], [0, 1, 2]):
            done = subprocess.run([PROGRAM, "exec", "get none"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=DEADLINE, env=environment_of(connect=self.cluster.connect),
                                  preexec_fn=lambda: [os.close(fd) for fd in closed])  # noqa: B023
            self.assertEqual(done.returncode, ERROR if 1 in closed else OK)


    def test_a_reader_that_leaves(self):
        self.check(OK, "exec", *[f"put r/{i} {'v' * 1000}" for i in range(300)])
        for arguments, outcome in ((["scan", "r/"], ""), (["exec", "put r/x 1"], r"assent: committed c1\.\S+\n")):
            reader, writer = os.pipe()
            os.close(reader)
            code, _, err = run_bytes(self.cluster, *arguments, stdout=writer)
            os.close(writer)
            self.assertEqual(code, -signal.SIGPIPE)  # as any other program under `| head`
            self.assertRegex(err, f"^{outcome}$")


class Unknown(ClusterTest):
    """The nodes stop answering in mid-commit: what a person is told, and how it is settled afterwards."""

    def test_unknown_names_its_token_and_can_be_asked_again(self):
        self.check(OK, "exec", "put u/a 100", "put u/b 0")
        operations = ["add u/a -10 min=0", "add u/b 10"]
        stopped = []

        def stop(*nodes):
            for pid in [self.cluster.pid(node) for node in nodes]:
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)
        terminal, other = pty.openpty()
        self.addCleanup(os.close, terminal)
        shown = b""
        try:
            stop(2, 3)  # the shards' primaries: the coordinator waits for their votes
            asking = subprocess.Popen([PROGRAM, "exec", *operations], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=other, env=environment_of(connect=self.cluster.connect),
                                      preexec_fn=die_with_parent)
            os.close(other)
            while True:
                try:
                    shown += os.read(terminal, 4096)
                except OSError:
                    break  # it has ended
                if len(stopped) == 2 and b"waiting for the outcome" in shown:
                    stop(1)  # now nobody is left to say what became of it
            code = asking.wait(DEADLINE)
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        text = shown.decode().replace("\r\n", "\n")
        self.assertEqual(code, UNKNOWN, text)
        token = re.search(rf"\n  {re.escape(PROGRAM)} exec --token (\S+) 'add u/a -10 min=0' 'add u/b 10'", text).group(1)
        self.assertRegex(text, rf"waiting for the outcome under token {token}, \d+s")
        self.assertRegex(text, rf"\(token {token}, attempt \d+\)")
        self.cluster.await_serving()
        # Once, whatever became of it; and the same each time.
        first = json.loads(self.check(OK, "exec", "--token", token, *operations, "-o", "json"))
        again = json.loads(self.check(OK, "exec", "--token", token, *operations, "-o", "json"))
        self.assertEqual((again["txn"], again["token"], again["repeated"]), (first["txn"], token, True))
        self.assertEqual(self.check(OK, "get", "u/a") + self.check(OK, "get", "u/b"), "90\n10\n")
        self.check(USAGE, "exec", "--token", "c1/1", *operations)
        code, _, err = self.cluster.run("exec", "--token", token, "put u/a 1")
        self.assertEqual(code, UNKNOWN)
        self.assertIn("was used for another request", err)
        self.assertNotIn("To learn which", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
