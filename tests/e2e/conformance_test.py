"""`assent rm conformance`: the example ledger keeps every promise of a participant, restarts included; a service that
breaks one is found by that clause; what is no such service is said to be none; and nothing is left prepared."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from local import DEADLINE, ERROR, OK, PROGRAM, UNAVAILABLE, USAGE  # noqa: E402
from local import Ports, die_with_parent, new_directory, run  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BAD = os.path.join(HERE, "bad_participant.py")
LEDGER = os.path.join(HERE, "..", "..", "examples", "ledger", "ledger.py")
INTEGRATING = os.path.join(HERE, "..", "..", "docs", "INTEGRATING.md")
CLUSTER = "7b0c2d7e-1111-4222-8333-0123456789ab"
OPTIONS = ["--journal", "JOURNAL", "--cluster", "CLUSTER", "--port", "PORT"]
MOVE = '{"moves": [{"account": "test-%n", "delta": 0}]}'
RESTARTS = ("RM1", "RM17", "RM18")

# The clauses that fail with a fault: its own, first, and those that cannot hold without it.
FAULTS = {
    "no-locks": "RM2",
    "repeated-prepare": "RM3 RM14",
    "prepares-again-after-commit": "RM3",
    "repeated-commit": "RM4 RM14",
    "repeated-rollback": "RM5 RM14",
    "no-mark": "RM6",
    "early-rollback": "RM6",
    "forgets-rollback": "RM6",
    "commits-unknown": "RM7",
    "rolls-back-committed": "RM8",
    "commits-rolled-back": "RM8",
    "lists-other-groups": "RM9",
    "lists-as-text": "RM9",
    "lists-nothing": "RM9 RM10 RM11 RM16",
    "ignores-after": "RM9",
    "cuts-epochs": "RM10",
    "ignores-groups": "RM10",
    "any-cluster": "RM11",
    "no-to-other-clusters": "RM11",
    "takes-incomplete": "RM12",
    "echoes-wrongly": "RM13",
    "echoes-nothing": "RM13",
    "one-connection": "RM14 RM15",
    "waits-with-its-lock": "RM15",
    "times-out": "RM16",
}
RESTART_FAULTS = {
    "yes-before-disk": "RM1",
    "commits-in-memory": "RM17 RM9",  # what was committed before a kill is listed after it
    "forgets-ends": "RM17 RM18",
    "marks-in-memory": "RM18",
}


class Service:
    """A participant as a process, and the script that kills and starts it again."""

    def __init__(self, directory, port, *command):
        os.makedirs(directory)
        self.port = port
        self.pid_file = os.path.join(directory, "pid")
        self.journal = os.path.join(directory, "journal")
        self.log = os.path.join(directory, "log")
        known = {"JOURNAL": self.journal, "CLUSTER": CLUSTER, "PORT": str(port)}
        words = ["/usr/bin/python3", "-B", *(known.get(word, word) for word in command)]
        self.script = os.path.join(directory, "restart")
        pid = shlex.quote(self.pid_file)
        with open(self.script, "w") as file:
            # A process that was killed keeps its port and the lock of its journal until its last thread is gone.
            file.write(f"if [ -s {pid} ]; then\n  kill -9 $(cat {pid})\n"
                       f"  while grep -qs '^State:.[^ZX]' /proc/$(cat {pid})/task/*/status; do sleep 0.05; done\nfi\n"
                       f"{shlex.join(words)} >>{shlex.quote(self.log)} 2>&1 </dev/null &\necho $! >{pid}\n")
        subprocess.run(["sh", self.script], check=True)
        deadline = time.monotonic() + DEADLINE
        while not self.listens():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the participant does not start; see {self.log}")
            time.sleep(0.05)

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        """Its port is free afterwards: the next one is not taken for started because this one still listens."""
        with open(self.pid_file) as file:
            os.kill(int(file.read()), signal.SIGKILL)
        self.await_gone()

    def await_gone(self):
        deadline = time.monotonic() + DEADLINE
        while self.listens() and time.monotonic() < deadline:
            time.sleep(0.05)

    def in_doubt(self):
        """What its journal says, once it is stopped. Not of one with a fault in its journal."""
        self.kill()
        out = subprocess.run(["/usr/bin/python3", "-B", LEDGER, "show", "--journal", self.journal], check=True,
                             capture_output=True, text=True, preexec_fn=die_with_parent).stdout
        return json.loads(out)["in_doubt"]


class ConformanceTest(unittest.TestCase):
    def setUp(self):
        self.directory = new_directory("conformance")
        self.ports = Ports()
        self.addCleanup(self.ports.close)
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def service(self, name, *command):
        service = Service(os.path.join(self.directory, name), self.ports.first, *command)
        self.addCleanup(self.forget, service)
        return service

    @staticmethod
    def forget(service):
        try:
            service.kill()
        except ProcessLookupError:
            pass

    def conformance(self, *options, port=None):
        return run("rm", "conformance", f"thrift://127.0.0.1:{port or self.ports.first}", *options)

    def verdicts(self, *options):
        code, out, err = self.conformance("--cluster", CLUSTER, "--payload", MOVE, "--conflicting-payload", MOVE,
                                          "-o", "json", *options)
        rows = json.loads(out or "[]")
        self.assertEqual([row["clause"] for row in rows], [f"RM{i}" for i in range(1, 20)], err)
        for row in rows:
            shown = [row[name] for name in ("sent", "answered", "expected")]
            if row["verdict"] == "fails":
                self.assertNotIn(None, shown, row)
            else:
                self.assertEqual(shown + row["before"], [None] * 3, row)
            if row["verdict"] == "not tried":
                self.assertIsNotNone(row["note"], row)
        return code, {row["clause"]: row for row in rows}, err

    def with_verdict(self, rows, verdict):
        return [name for name, row in rows.items() if row["verdict"] == verdict]

    def check_fault(self, fault, wanted, *options, journal_is_whole):
        service = self.service(fault, BAD, "--fault", fault, *OPTIONS)
        try:
            self.check_verdicts(service, wanted, *options)
            if journal_is_whole:
                self.assertEqual(service.in_doubt(), [])
        finally:
            self.forget(service)
            service.await_gone()

    def check_verdicts(self, service, wanted, *options):
        with_restart = options and options[0] == "--restart-command"
        code, rows, err = self.verdicts(*(("--restart-command", f"sh {shlex.quote(service.script)}")
                                          if with_restart else options))
        self.assertEqual(self.with_verdict(rows, "fails"), sorted(wanted, key=lambda name: int(name[2:])),
                         [row for row in rows.values() if row["verdict"] == "fails"])
        self.assertEqual(code, ERROR, err)
        if "RM17" not in wanted:  # such a one lists again what was ended
            self.assertNotIn("left prepared", err)

    def test_the_ledger_keeps_every_promise_restarts_included(self):
        service = self.service("ledger", LEDGER, "serve", *OPTIONS)
        code, rows, err = self.verdicts("--restart-command", f"sh {shlex.quote(service.script)}", "--hold", "1")
        self.assertEqual(code, OK, (rows, err))
        self.assertEqual(self.with_verdict(rows, "not tried"), ["RM19"])
        self.assertEqual(self.with_verdict(rows, "fails"), [])
        self.assertIn('"note":"18 of 18 clauses that were tried hold; not tried: 1; with ids of coordinator groups c', err)
        self.assertEqual(service.in_doubt(), [])

    def test_the_skeleton_of_the_documentation_keeps_every_promise(self):
        with open(INTEGRATING, encoding="utf-8") as page:
            code = re.search(r"```python\n(.*?)```", page.read(), re.DOTALL)[1]
        script = os.path.join(self.directory, "skeleton.py")
        with open(script, "w", encoding="utf-8") as file:
            file.write(code)
        service = self.service("skeleton", script, "JOURNAL", "CLUSTER", "PORT")
        code, out, err = self.conformance(
            "--cluster", CLUSTER, "--payload", "name-%n", "--conflicting-payload", "name-%n", "--hold", "1",
            "--restart-command", f"sh {shlex.quote(service.script)}", "-o", "json")
        self.assertEqual(code, OK, out + err)
        rows = {row["clause"]: row for row in json.loads(out)}
        self.assertEqual(self.with_verdict(rows, "not tried"), ["RM15", "RM19"])  # it never waits

    def test_what_an_option_is_missing_for_is_not_claimed(self):
        service = self.service("ledger", LEDGER, "serve", *OPTIONS)
        payload = MOVE.replace("%n", "one")
        code, out, err = self.conformance("--cluster", CLUSTER, "--payload", payload, "--hold", "1")
        self.assertEqual(code, OK, out + err)
        for clause, why in ((name, "no --restart-command given") for name in RESTARTS):
            self.assertRegex(out, rf"(?m)^{clause} +not tried +.* {why}$")
        for clause in ("RM2", "RM15"):
            self.assertRegex(out, rf"(?m)^{clause} +not tried +.* no --conflicting-payload given$")
        self.assertRegex(out, r"(?m)^RM9 +not tried +.* put %n, a number, into --payload$")
        self.assertRegex(out, r"(?m)^RM16 +holds +.* looked at for 1 s \(--hold\)$")
        self.assertRegex(err, r"^assent: 12 of 12 clauses that were tried hold; not tried: 7; with ids of ")
        # A command that kills nothing, and one that fails.
        code, rows, err = self.verdicts("--restart-command", "true", "--hold", "1")
        self.assertEqual(code, OK, err)
        for clause in RESTARTS:
            self.assertEqual(rows[clause]["verdict"], "not tried")
            self.assertIn("no call failed while --restart-command ran", rows[clause]["note"])
        code, rows, err = self.verdicts("--restart-command", "exit 3", "--hold", "1")
        self.assertIn("--restart-command ended with exit code 3", rows["RM1"]["note"])
        self.assertEqual(service.in_doubt(), [])

    def test_each_fault_is_found_by_its_clause(self):
        for fault, wanted in FAULTS.items():
            with self.subTest(fault):
                hold = "4" if fault == "times-out" else "1"
                self.check_fault(fault, wanted.split(), "--hold", hold, journal_is_whole=True)

    def test_each_fault_that_a_restart_shows_is_found_by_its_clause(self):
        for fault, wanted in RESTART_FAULTS.items():
            with self.subTest(fault):
                self.check_fault(fault, wanted.split(), "--restart-command",
                                 journal_is_whole=fault not in ("commits-in-memory", "forgets-ends"))

    def test_a_failure_shows_what_was_sent_answered_and_expected(self):
        self.service("bad", BAD, "--fault", "no-mark", *OPTIONS)
        code, out, _ = self.conformance("--cluster", CLUSTER, "--payload", MOVE, "--hold", "1")
        self.assertEqual(code, ERROR)
        self.assertRegex(out, r"\nRM6 fails\n  before    rollback c\d+\.\d+\.\w+ -> done\n"
                              r"  sent      prepare c\d+\.\d+\.\w+\n  answered  YES\n  expected  NO\n")
        code, out, _ = self.conformance("--cluster", CLUSTER, "--payload", MOVE, "--hold", "1", "-o", "csv")
        self.assertEqual(code, ERROR)
        self.assertEqual(out.splitlines()[0], "clause,verdict,promise,sent,answered,expected,before,note")

    def test_a_service_that_dies_on_the_way(self):
        service = self.service("ledger", LEDGER, "serve", *OPTIONS)
        code, rows, err = self.verdicts("--restart-command", f"kill -9 $(cat {shlex.quote(service.pid_file)})",
                                        "--hold", "1")
        self.assertEqual(code, UNAVAILABLE, err)
        self.assertIn("does not answer 30 s after --restart-command", rows["RM1"]["note"])
        self.assertEqual(rows["RM3"]["note"], "the service can no longer be reached")
        self.assertIn("the service was lost on the way", err)
        # What is prepared there still cannot be rolled back.
        self.assertIn("may be left prepared: c", err)

    def test_what_is_no_participant_is_said_to_be_none(self):
        def answers(code, hint, *options):
            begun = time.monotonic()
            got, out, err = self.conformance(*options)
            self.assertEqual((got, out), (code, ""), err)
            self.assertIn(hint, err)
            self.assertLess(time.monotonic() - begun, 30)
        answers(UNAVAILABLE, "cannot connect to 127.0.0.1:")
        for name, options, code, hint in (
                ("fault", ["--cluster", "another"], USAGE, f"belongs to another cluster than \"another\": name its own with "
                 f"--cluster (it says: this ledger is {CLUSTER}'s)"),
                ("votes-no", ["--cluster", CLUSTER], USAGE, "votes NO: no funds; give with --payload"),
                ("starts-late", ["--cluster", CLUSTER], UNAVAILABLE, "not ready: UNAVAILABLE: reads its journal")):
            service = self.service(name, BAD, *(["--fault", name] if name != "fault" else []), *OPTIONS)
            answers(code, hint, *options)
            service.kill()
        # One whose calls all end in an exception: found, and not waited for.
        service = self.service("fails", BAD, "--fault", "fails", *OPTIONS)
        code, out, err = self.conformance("--cluster", CLUSTER, "--payload", MOVE, "--hold", "1", "-o", "json")
        self.assertEqual(code, ERROR, err)
        self.assertNotIn("holds", [row["verdict"] for row in json.loads(out)])
        service.kill()

    def test_strangers_on_the_port(self):
        def serve(answer):
            listener = socket.create_server(("127.0.0.1", 0))
            self.addCleanup(listener.close)

            def accept():
                held = []
                while True:
                    try:
                        held.append(listener.accept()[0])
                    except OSError:
                        return
                    if answer is not None:
                        held[-1].recv(4096)
                        held[-1].sendall(answer)
            threading.Thread(target=accept, daemon=True).start()
            return listener.getsockname()[1]
        for answer, hint in ((b"HTTP/1.1 400 Bad Request\r\n\r\n", "it must speak Thrift"), (None, "timed out"),
                             (b"\0\0\0\4nope", "not a valid answer")):
            code, out, err = self.conformance(port=serve(answer))
            self.assertEqual((code, out), (UNAVAILABLE, ""), err)
            self.assertIn(hint, err)

    def test_usage(self):
        for address, hint in (("127.0.0.1:7301", "is no thrift://HOST:PORT"), ("thrift://nonsense", "'thrift://nonsense': "),
                              ("thrift://127.0.0.1:0", "'thrift://127.0.0.1:0': ")):
            code, out, err = run("rm", "conformance", address)
            self.assertEqual((code, out), (USAGE, ""), err)
            self.assertIn(hint, err)
        self.assertEqual(run("rm", "conformance", "thrift://127.0.0.1:1", "--hold", "0")[0], USAGE)

    def test_an_interrupt_rolls_back_first(self):
        service = self.service("ledger", LEDGER, "serve", *OPTIONS)
        process = subprocess.Popen(
            [PROGRAM, "rm", "conformance", f"thrift://127.0.0.1:{service.port}", "--cluster", CLUSTER, "--payload", MOVE,
             "-o", "json", "--hold", "5"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            preexec_fn=die_with_parent)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, -signal.SIGINT, err)
        self.assertEqual(json.loads(out)[-1]["note"], "interrupted")
        self.assertEqual(service.in_doubt(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
