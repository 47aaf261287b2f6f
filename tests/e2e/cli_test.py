"""The commands as scripts rely on them: what they print where, in which form, and their exit codes."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from local import ABORTED, ABSENT, ERROR, OK, PROGRAM, UNAVAILABLE, USAGE  # noqa: E402
from local import ClusterTest, Ports, run  # noqa: E402

TRANSFER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "python", "transfer.py")
COMMANDS = ["node", "dev", "demo", "status", "get", "put", "delete", "scan", "exec", "shell", "txn", "group", "rm",
            "wal", "bench", "completion"]
SUBCOMMANDS = [["txn", "list"], ["txn", "show"], ["wal", "inspect"], ["wal", "verify"], ["completion", "bash"],
               ["group", "show"], ["group", "add-replica"], ["group", "remove-replica"], ["rm", "conformance"]]


class Commands(ClusterTest):
    # ---- Rows

    def test_put_get_delete(self):
        self.assertRegex(self.check(OK, "put", "t1/a", "one"), r"^committed c1\.\d+\.[0-9a-f]+\n$")
        self.assertEqual(self.check(OK, "get", "t1/a"), "one\n")
        self.assertEqual(self.err, "")
        self.check(OK, "delete", "t1/a")
        self.assertEqual(self.check(ABSENT, "get", "t1/a"), "")
        self.assertEqual(self.err, "assent: no such key: t1/a\n")

    def test_get_in_json_and_csv(self):
        self.check(OK, "put", "t2/a", 'say "hi", twice')
        row, = json.loads(self.check(OK, "get", "t2/a", "-o", "json"))
        self.assertEqual((row["key"], row["value"]), ("t2/a", 'say "hi", twice'))
        self.assertIsInstance(row["version"], int)
        row, = csv.DictReader(io.StringIO(self.check(OK, "get", "t2/a", "-o", "csv")))
        self.assertEqual((row["key"], row["value"]), ("t2/a", 'say "hi", twice'))

    def test_scan_in_order_with_limit(self):
        for key in ("t3/b", "t3/a", "t3/c", "t30"):
            self.check(OK, "put", key, key.upper())
        rows = json.loads(self.check(OK, "scan", "t3/", "-o", "json"))
        self.assertEqual([row["key"] for row in rows], ["t3/a", "t3/b", "t3/c"])
        rows = list(csv.DictReader(io.StringIO(self.check(OK, "scan", "t3/", "--limit", "2", "-o", "csv"))))
        self.assertEqual([row["value"] for row in rows], ["T3/A", "T3/B"])
        table = self.check(OK, "scan", "t3/").splitlines()
        self.assertRegex(table[0], r"^KEY +VALUE +VERSION$")
        self.assertEqual(len(table), 4)
        self.assertEqual(json.loads(self.check(OK, "scan", "t3/nothing", "-o", "json")), [])

    def test_scan_reads_on_where_one_answer_ends(self):
        value = "v" * 100_000
        for i in range(22):  # 2.2 MB: more than an answer holds
            self.check(OK, "put", f"t3long/{i:02}", value)
        rows = json.loads(self.check(OK, "scan", "t3long/", "-o", "json"))
        self.assertEqual([row["key"] for row in rows], [f"t3long/{i:02}" for i in range(22)])
        rows = json.loads(self.check(OK, "scan", "t3long/", "--limit", "20", "-o", "json"))
        self.assertEqual(len(rows), 20)
        out = json.loads(self.check(OK, "exec", "scan t3long/ after=t3long/19", "-o", "json"))
        self.assertEqual([row["key"] for row in out["results"][0]["rows"]], ["t3long/20", "t3long/21"])

    def test_python_example(self):
        def transfer(amount):
            done = subprocess.run(["/usr/bin/python3", "-B", TRANSFER, "--node", self.cluster.addresses[0], "t12/a",
                                   "t12/b", str(amount)], capture_output=True, text=True, timeout=60)
            return done.returncode, done.stdout
        self.check(OK, "exec", "put t12/a 100", "put t12/b 0")
        self.assertEqual(transfer(70), (OK, "committed\n"))
        code, out = transfer(70)
        self.assertEqual(code, ABORTED)
        self.assertRegex(out, "^aborted: below floor")
        self.assertEqual(self.check(OK, "get", "t12/b"), "70\n")

    # ---- exec

    def test_exec_is_one_transaction(self):
        out = self.check(OK, "exec", "put t5/alice 100", "put t5/bob 0")
        self.assertRegex(out, r"committed c1\.")
        out = self.check(OK, "exec", "add t5/alice -10 min=0", "add t5/bob 10", "get t5/bob")
        self.assertEqual(out.splitlines()[:3], ["t5/alice = 90", "t5/bob = 10", "t5/bob = 10"])
        self.assertEqual(self.check(ABORTED, "exec", "add t5/alice -1000 min=0", "add t5/bob 1000"), "")
        self.assertRegex(self.err, r"^assent: aborted c1\.\S+: ")
        self.assertEqual(self.check(OK, "get", "t5/bob"), "10\n")
        self.check(ABORTED, "exec", "check t5/alice absent", "put t5/alice 1")
        self.check(ABORTED, "exec", "check t5/alice value=1", "put t5/alice 1")

    def test_bad_operations_are_usage_errors(self):
        for operation, hint in (("frobnicate a", "get KEY"), ("add a ten", "not a number"), ("put a", "put KEY VALUE"),
                                ('put a "open', "quote"), ("", "get KEY"), ("add a +-5", "+-5 is not a number"),
                                ("add a 1 min=+-3", "min=N"), ('put a "x\\q"', "\\q is no escape"),
                                ("put a b\r", "\\r, stands outside of double quotes")):
            self.check(USAGE, "exec", operation)
            self.assertIn(hint, self.err)
            self.assertEqual(self.err.count("\n"), 1, self.err)
        self.check(USAGE, "exec", "put " + "k" * 2000 + " v")
        self.assertIn("1,024", self.err)
        self.check(USAGE, "put", "", "v")
        self.check(USAGE, "exec", "put", "k", "v")
        self.assertIn("Quote each operation, to make one word of it: assent exec 'put KEY VALUE'", self.err)
        self.check(USAGE, "exec")
        for limit in ("0", "-1", "18446744073709551616", "ten"):
            self.check(USAGE, "scan", "a", "--limit", limit)
            self.assertIn(f"--limit: a number from 1 to 1000000000, not '{limit}'", self.err)

    def test_exec_from_a_file(self):
        path = os.path.join(self.cluster.directory, "operations")
        with open(path, "wb") as file:
            file.write(b"# a transfer\r\nput t11/a 1\r\n\n  add t11/a 1\r\nput t11/b \"x y\"")
        self.check(OK, "exec", "-f", path)
        self.assertEqual(self.check(OK, "get", "t11/a"), "2\n")
        self.assertEqual(self.check(OK, "get", "t11/b"), "x y\n")
        self.check(OK, "exec", "-f", "-", stdin="put t11/a 7\n")
        self.check(USAGE, "exec", "-f", "-", stdin="put t11/a 8\nputt t11/b 9\n")
        self.assertIn("-:2: not an operation: putt", self.err)
        self.assertEqual(self.check(OK, "get", "t11/a"), "7\n")
        self.check(USAGE, "exec", "-f", "-", stdin="# nothing\n")
        self.check(USAGE, "exec", "-f", path, "get a")
        self.check(ERROR, "exec", "-f", path + ".missing")
        self.assertIn("No such file", self.err)

    def test_put_of_what_is_no_argument(self):
        self.check(OK, "put", "t13/stdin", "-", stdin="v" * 262_144)
        self.assertEqual(self.check(OK, "get", "t13/stdin"), "v" * 262_144 + "\n")
        path = os.path.join(self.cluster.directory, "value")
        with open(path, "w") as file:
            file.write("line 1\nline 2\n")
        self.check(OK, "put", "t13/file", "--file", path)
        self.assertEqual(self.check(OK, "get", "t13/file"), "line 1\nline 2\n\n")
        self.check(USAGE, "put", "t13/stdin", "-", stdin="v" * 262_145)
        self.assertIn("more than 262,144 bytes", self.err)
        self.check(USAGE, "put", "t13/file", "v", "--file", path)
        self.check(ERROR, "put", "t13/file", "--file", path + ".missing")
        self.check(OK, "put", "--", "-key", "-value")
        self.assertEqual(self.check(OK, "get", "--", "-key"), "-value\n")
        self.check(OK, "put", "t13/n", "-5")
        for arguments in (["put", "-key", "v"], ["put", "t13/n"]):
            self.check(USAGE, *arguments)
            self.assertIn("goes behind --, as in: assent put -- -key value", self.err)

    def test_connect_wins_over_the_environment(self):
        nowhere = "no.such.host.invalid:1"
        with_env = {"ASSENT_CONNECT": nowhere}
        for arguments in (["put", "t14/a", "1"], ["get", "t14/a"], ["delete", "t14/a"], ["scan", "t14/"],
                          ["exec", "get t14/a"], ["shell"], ["status"], ["txn", "list"], ["group", "show"]):
            code, out, err = run(*arguments, "--connect", self.cluster.connect, env=with_env)
            self.assertEqual(code, OK, f"{arguments}: {out}{err}")
            self.check(USAGE, *arguments, "--connect", nowhere)
            self.assertIn("no.such.host.invalid", self.err)

    # ---- Looking

    def test_status(self):
        rows = json.loads(self.check(OK, "status", "-o", "json"))
        self.assertEqual(len(rows), 6)
        self.assertEqual({(row["group"], row["node"]) for row in rows if row["role"] == "primary"},
                         {("c1", "n1"), ("s1", "n2"), ("s2", "n3")})
        self.assertEqual({row["state"] for row in rows}, {"serving", "following"})
        for row in rows:
            self.assertIsInstance(row["replicated"], int)
            self.assertIsInstance(row["in_doubt"], int)
        self.assertEqual(len(list(csv.DictReader(io.StringIO(self.check(OK, "status", "-o", "csv"))))), 6)
        self.assertIn(",in_doubt,", self.check(OK, "status", "-o", "csv"))
        self.assertRegex(self.check(OK, "status").splitlines()[0], r"^GROUP +NODE +ROLE +EPOCH ")

    def test_group_show(self):
        rows = json.loads(self.check(OK, "group", "show", "-o", "json"))
        self.assertEqual([(row["group"], row["primary"], row["backups"]) for row in rows],
                         [("c1", "n1", ["n2"]), ("s1", "n2", ["n3"]), ("s2", "n3", ["n1"])])
        self.check(USAGE, "group", "remove-replica", "shard", "n1")
        self.check(USAGE, "group", "remove-replica", "s1", "third")
        self.check(ERROR, "group", "remove-replica", "s9", "n1")
        self.check(ERROR, "group", "remove-replica", "s1", "n1")
        self.check(USAGE, "group", "remove-replica", "s1", "n2")
        self.assertIn("primary", self.err)

    def test_txn(self):
        self.assertEqual(self.check(OK, "txn", "list", "--state", "in-doubt"), "no transactions in doubt\n")
        self.assertEqual(json.loads(self.check(OK, "txn", "list", "--state", "in-doubt", "-o", "json")), [])
        shell = subprocess.Popen([PROGRAM, "shell", "--connect", self.cluster.connect], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        self.addCleanup(shell.stdout.close)
        shell.stdin.write("begin\nput t8/a 1\n")
        shell.stdin.flush()
        txn = re.search(r"begun (\S+)", shell.stdout.readline()).group(1)
        listed = {row["txn"]: row for row in json.loads(self.check(OK, "txn", "list", "-o", "json"))}
        self.assertEqual(listed[txn]["state"], "active")
        self.assertIsInstance(listed[txn]["age_ms"], int)
        self.assertIsInstance(listed[txn]["branches"], list)
        shown = json.loads(self.check(OK, "txn", "show", txn, "-o", "json"))
        self.assertEqual(shown[0]["at"], "c1")
        self.assertIsInstance(shown[0]["notes"], list)
        shell.communicate("rollback\n", timeout=60)
        self.assertEqual(shell.returncode, OK)
        self.check(ERROR, "txn", "show", "c1.1.ffffff")
        self.check(USAGE, "txn", "show", "nonsense")
        self.assertIn("c1.4.93e4", self.err)
        self.check(USAGE, "txn", "list", "--state", "odd")

    def test_wal_of_a_running_node(self):
        self.check(OK, "put", "t9/a", "1")
        log = os.path.join(self.cluster.data(1), "c1", "log")
        self.assertRegex(self.check(OK, "wal", "verify", log), r"^ok  [\d,]+ records in \d+ segments, ")
        out = self.check(OK, "wal", "inspect", log)
        self.assertIn("segment " + log, out)
        self.assertRegex(out, r"\(e\d+, 1\)")
        self.check(ERROR, "wal", "verify", os.path.join(self.cluster.directory, "nowhere"))
        self.assertIn("nowhere", self.err)

    # ---- Configuration, completion, help

    def test_check_config(self):
        out = self.check(OK, "node", "--config", self.cluster.config(2), "--check-config")
        self.assertIn("ok, node n2 with 2 replicas", out)
        with open(self.cluster.config(2)) as config:
            text = config.read()
        bad = os.path.join(self.cluster.directory, "bad.toml")
        with open(bad, "w") as config:
            config.write(text.replace("segment_bytes", "segment_byts"))
        self.check(USAGE, "node", "--config", bad, "--check-config")
        self.assertRegex(self.err, r"bad\.toml:\d+: unknown key log\.segment_byts; did you mean log\.segment_bytes\?")
        with open(bad, "w") as config:
            config.write(text + '\n[[resource_managers]]\nname = "rm"\nkind = "oracle"\naddress = "127.0.0.1:1"\n')
        for check in (["--check-config"], []):
            self.check(USAGE, "node", "--config", bad, *check)
            self.assertIn('rm: kind "oracle" is no kind of resource manager; known: thrift', self.err)

    def test_completion_in_bash(self):
        script = self.check(OK, "completion", "bash")
        done = subprocess.run(["bash", "-c", script + """
            COMP_WORDS=(assent txn li) COMP_CWORD=2; _assent; echo "${COMPREPLY[@]}"
            COMP_WORDS=(assent st) COMP_CWORD=1; _assent; echo "${COMPREPLY[@]}" """],
                              capture_output=True, text=True)
        self.assertEqual((done.stdout, done.stderr), ("list\nstatus\n", ""))

    def test_help_has_examples(self):
        self.assertIn("Exit codes: 0 ok", self.check(OK, "--help"))
        for command in [[name] for name in COMMANDS] + SUBCOMMANDS:
            out = self.check(OK, *command, "--help")
            has_subcommands = any(other[:-1] == command for other in SUBCOMMANDS)
            if not has_subcommands:
                self.assertIn("Example:\n  ", out, command)
                self.assertIn("assent " + " ".join(command), out, command)
        self.assertRegex(self.check(OK, "--version"), r"^assent \d+\.\d+\.\d+\n$")

    def test_usage_errors(self):
        for arguments, hint in (
                ([], "a command is missing"), (["frobnicate"], "unknown command 'frobnicate'; there are node, dev"),
                (["ge", "k"], "unknown command 'ge'; did you mean get?"),
                (["txn", "resolve"], "unknown command 'txn resolve'; there are list, show"),
                (["completion", "zsh"], "unknown command 'completion zsh'; there are bash"),
                (["get"], "KEY is required"), (["get", "a", "b"], "a word too many: 'b'"),
                (["status", "-o", "xml"], "--output: table, json or csv, not 'xml'"),
                (["dev", "-o", "json"], "unknown option '-o'"), (["get", "a", "--outptu"], "did you mean --output?"),
                (["node"], "--config"), (["txn"], "a command is missing; there are list, show"),
                (["bench", "unheard-of"], "unheard-of")):
            code, out, err = self.cluster.run(*arguments)
            self.assertEqual(code, USAGE, f"{arguments}: {out}{err}")
            self.assertEqual(out, "", arguments)
            self.assertRegex(err, "^assent: ")
            self.assertIn(hint, err)
            self.assertRegex(err, r"\nSee: assent( \w+)* --help\n$")

    def test_no_escape_codes_where_output_is_no_terminal(self):
        for env in ({}, {"NO_COLOR": "1"}):
            for arguments in (["status"], ["txn", "list"], ["group", "show"], ["exec", "get t10/a"]):
                code, out, err = self.cluster.run(*arguments, env=env)
                self.assertEqual(code, OK)
                self.assertNotIn("\x1b", out + err)

    def test_bench_in_json(self):
        out = self.check(OK, "bench", "transfer", "--clients", "4", "--seconds", "1", "--rows", "100", "-o", "json")
        report = json.loads(out)
        self.assertGreater(len(report), 0)


class Unreachable(unittest.TestCase):
    def test_no_cluster_there(self):
        ports = Ports()
        self.addCleanup(ports.close)
        for arguments in (["status"], ["get", "a"], ["exec", "get a"], ["txn", "list"], ["group", "show"]):
            begun = time.monotonic()
            code, out, err = run(*arguments, connect=f"127.0.0.1:{ports.first}")
            print(f"  {arguments[0]}: {time.monotonic() - begun:.2f} s")
            self.assertEqual((code, out), (UNAVAILABLE, ""), arguments)
            self.assertIn("Is the cluster up? `assent dev` starts one here", err)

    def test_bad_address(self):
        code, _, err = run("status", "--connect", "nonsense")
        self.assertEqual(code, USAGE)
        self.assertIn("nonsense", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
