"""What operators read and change: `status`, `group`, `wal verify`, a node's log, and what a node refuses to start on."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from thrift.protocol.TBinaryProtocol import TBinaryProtocolFactory  # noqa: E402
from thrift.server.TServer import TThreadedServer  # noqa: E402
from thrift.TMultiplexedProcessor import TMultiplexedProcessor  # noqa: E402
from thrift.transport import TSocket, TTransport  # noqa: E402

from assent_wire import Participant  # noqa: E402
from assent_wire.ttypes import (CommitTag, ExecuteRequest, FinishReply, ForeignWork, Outcome,  # noqa: E402
                                ParticipantStatus, PrepareReply, RecoverReply, Vote)
from bad_input_test import Session  # noqa: E402
from local import ABSENT, DEADLINE, PROGRAM, die_with_parent  # noqa: E402
from nodes import Nodes  # noqa: E402

OK, ERROR, USAGE, UNAVAILABLE = 0, 1, 2, 6
GROUPS = {"c1": ["n1", "n2"], "s1": ["n2", "n3"], "s2": ["n3", "n1"]}


class Case(unittest.TestCase):
    groups = GROUPS
    count = 3

    def setUp(self):
        self.nodes = Nodes("operate", groups=self.groups, count=self.count)
        self.addCleanup(lambda: self.nodes.close(keep=self.failed()))

    def failed(self):
        result = self._outcome.result
        return any(test is self for test, _ in result.failures + result.errors)

    def check(self, code, *arguments, **keywords):
        got, out, self.err = self.nodes.run(*arguments, **keywords)
        self.assertEqual(got, code, f"{arguments}: {out}{self.err}")
        return out

    def status(self, code):
        rows = json.loads(self.check(code, "status", "-o", "json"))
        return {(row["group"], row["node"]): row for row in rows}

    def configure(self, node, old, new):
        path = self.nodes.path(f"n{node}.toml")
        with open(path) as file:
            text = file.read()
        self.assertIn(old, text)
        with open(path, "w") as file:
            file.write(text.replace(old, new))


class Status(Case):
    def test_replica_that_is_gone_is_shown(self):
        self.nodes.start_all()
        self.assertEqual(len(self.status(OK)), 6)
        self.nodes.kill("n1")
        self.nodes.await_members("c1", "n2")
        self.nodes.await_members("s2", "n3")
        self.nodes.await_that("c1 served", lambda: self.nodes.status()["c1", "n2"]["state"] == "serving")
        rows = self.status(UNAVAILABLE)
        self.assertEqual(len(rows), 6)
        self.assertRegex(rows["c1", "n1"]["state"], r"^unreachable, not in the view since epoch \d+ at the latest$")
        self.assertIsNone(rows["c1", "n1"]["lag"])
        self.assertIn(self.nodes.addresses[0], self.err)
        self.assertNotIn("nobody leads", self.err)

    def test_group_that_nobody_leads_is_shown_with_its_reason(self):
        self.nodes.start_all()
        os.rename(self.nodes.path("directory"), self.nodes.path("away"))
        self.nodes.signal("n1", signal.SIGSTOP)  # no view can be made without it

        def lease_is_over():
            rows = self.nodes.status()
            return rows["s2", "n3"]["state"].startswith("not serving for")
        self.nodes.await_that("s2 without a lease", lease_is_over)
        rows = self.status(UNAVAILABLE)
        self.assertEqual(rows["s2", "n3"]["role"], "primary")
        self.assertRegex(rows["s2", "n3"]["state"], r"^not serving for [^:]+: waits for .*(n1|directory)")
        self.assertRegex(rows["s2", "n1"]["state"], r"^unreachable, in the view of epoch \d+$")
        self.assertIn("s2: nobody leads it", self.err)
        self.assertIn("c1: nobody leads it; n1 did", self.err)
        os.rename(self.nodes.path("away"), self.nodes.path("directory"))
        self.nodes.signal("n1", signal.SIGCONT)
        self.nodes.await_serving()
        self.nodes.await_line("n3", "s2 does not serve any more: waits for ")
        self.nodes.await_line("n3", "the directory answers again")
        self.assertLessEqual(self.nodes.log("n3").count("the directory does not answer"), 2)

    def test_nodes_that_hang_are_asked_at_once(self):
        self.nodes.start_all()
        for name in ("n1", "n2"):
            self.nodes.signal(name, signal.SIGSTOP)
        begun = time.monotonic()
        rows = self.status(UNAVAILABLE)
        print(f"  two nodes hang: {time.monotonic() - begun:.1f} s")
        self.assertRegex(rows["c1", "n1"]["state"], "^unreachable, in the view of epoch")
        self.assertRegex(rows["c1", "n2"]["state"], "^unreachable, in the view of epoch")
        self.assertIn("c1: nobody leads it", self.err)

    def test_nodes_with_other_resource_managers_are_told(self):
        with open(self.nodes.path("n1.toml"), "a") as file:
            file.write('[[resource_managers]]\nname = "ledger"\naddress = "127.0.0.1:9"\n')
        self.nodes.start_all()
        self.status(OK)
        self.assertIn("the [[resource_managers]] of n1 (ledger) and n2 (none) differ", self.err)


class Grown(Case):
    groups = {"c1": ["n1"], "s1": ["n1"]}
    count = 3

    def test_new_shard_and_unknown_nodes(self):
        # n1 knows nothing of n3; n3 is of the cluster all the same.
        third = re.compile(r'\[\[nodes\]\]\nid = "n3"\naddress = "[^"]+"\n')
        for node in (1, 2):
            path = self.nodes.path(f"n{node}.toml")
            with open(path) as file:
                text = file.read()
            with open(path, "w") as file:
                file.write(third.sub("", text))
        self.nodes.start_all()
        self.status(OK)
        self.assertIn(f"n3 at {self.nodes.addresses[2]} is of this cluster, but in the configuration of no other node",
                      self.err)
        out = self.check(USAGE, "group", "add-replica", "s1", "n3")
        self.assertEqual(out, "")
        self.assertIn("n1's configuration does not name n3", self.err)
        # A shard that the placement does not know.
        self.nodes.stop("n1")
        with open(self.nodes.path("n1.toml"), "a") as file:
            file.write('[[groups]]\nid = "s2"\nreplicas = ["n1"]\n')
        self.nodes.start("n1")
        self.nodes.await_serving()
        self.nodes.await_that("s2", lambda: self.nodes.status().get(("s2", "n1"), {}).get("role") == "primary")
        self.nodes.await_that("s2 led", lambda: self.nodes.status()["s2", "n1"]["state"].startswith("serving"))
        rows = self.status(OK)
        self.assertEqual(rows["s2", "n1"]["state"],
                         "serving, but holds no slots: keys are not moved to a new shard yet")
        self.assertIn("the [[groups]] of n1 and n2 differ", self.err)


class Changes(Case):
    def test_nodes_that_there_are_not_or_that_do_not_answer(self):
        self.nodes.start_all()
        for command in (["drain", "n9"], ["promote", "c1", "n9"], ["add-replica", "c1", "n9"],
                        ["remove-replica", "c1", "n9"]):
            self.assertEqual(self.check(USAGE, "group", *command), "")
            self.assertIn("there is no n9 in this cluster, as its nodes are configured: n1 n2 n3", self.err)
        self.assertIn("n1", self.check(OK, "group", "promote", "c1", "n1"))
        self.nodes.kill("n1")
        self.nodes.await_members("c1", "n2")
        self.check(UNAVAILABLE, "group", "promote", "s2", "n1")
        self.assertIn("n1 does not answer", self.err)
        self.check(UNAVAILABLE, "group", "add-replica", "c1", "n1")
        self.assertIn("n1 does not answer", self.err)
        self.check(OK, "group", "drain", "n1")
        self.assertIn("n1 leads no group", self.err)

    def test_each_change_leaves_a_line(self):
        self.nodes.start_all()
        self.check(OK, "group", "drain", "n1")
        self.nodes.await_that("n2 leads c1", lambda: self.nodes.status()["c1", "n2"]["state"] == "serving")
        self.nodes.await_line("n1", r"c1: an operator's promote n2\n")
        self.nodes.await_line("n1", r"c1: an operator's promote n2: done\n")
        for name in ("n1", "n2"):
            self.nodes.await_line(name, r"c1: epoch \d+, primary n2, backups n1: n1 handed over to n2\n")
        self.nodes.await_line("n2", r"c1 serves\n")
        self.nodes.kill("n2")
        self.nodes.await_members("c1", "n1")
        self.nodes.await_members("s1", "n3")
        self.nodes.await_that("n1 leads c1", lambda: self.nodes.status()["c1", "n1"]["state"] == "serving")
        self.nodes.await_line(
            "n1", r"c1: epoch \d+, primary n1, no backup: n1 took over from n2, which was silent, or stopped\n")
        self.nodes.start("n2")
        self.nodes.await_members("c1", "n1", "n2")
        self.nodes.await_line("n1", r"c1: epoch \d+, primary n1, backups n2: n2 joined\n")
        self.check(OK, "group", "remove-replica", "c1", "n2")
        self.nodes.await_line("n1", "without n2, which an operator took out")
        self.nodes.await_that("n2 says so", lambda: self.nodes.status()["c1", "n2"]["state"].startswith(
            "waits for an operator's add-replica"))


class Alone(Case):
    groups = {"c1": ["n1"], "s1": ["n2"]}
    count = 2

    def test_primary_of_the_view_that_is_dead(self):
        self.nodes.start_all()
        self.assertIn("n1", self.check(OK, "group", "promote", "c1", "n1"))
        self.nodes.kill("n1")
        self.assertEqual(self.check(UNAVAILABLE, "group", "promote", "c1", "n1"), "")
        self.assertIn("n1 does not answer", self.err)
        self.assertEqual(self.check(UNAVAILABLE, "group", "drain", "n1"), "")
        self.assertIn("c1 stays with n1: it has no backup", self.err)

    def test_directory_that_is_away_is_called_that(self):
        self.nodes.start_all()
        os.rename(self.nodes.path("directory"), self.nodes.path("away"))
        self.check(UNAVAILABLE, "group", "show")
        self.assertIn("the directory cannot be read: ", self.err)
        os.rename(self.nodes.path("away"), self.nodes.path("directory"))
        self.nodes.await_serving()
        self.check(OK, "group", "show")


class LeftOut(Case):
    def test_group_that_falls_out_of_the_configuration_is_missed(self):
        self.nodes.start_all()
        self.check(OK, "exec", *(f"put k{i} 1" for i in range(20)))
        self.nodes.stop("n1", "n2", "n3")
        shard = '[[groups]]\nid = "s2"\nreplicas = ["n3", "n1"]\n'
        for node in (1, 2, 3):
            self.configure(node, shard, "")
            code, said = self.nodes.refused(f"n{node}")
            self.assertEqual(code, ERROR, said)
            self.assertIn("the configuration does not name s2, which holds keys", said)
            self.configure(node, '[[groups]]\nid = "s1"', shard + '[[groups]]\nid = "s1"')
        self.nodes.start_all()

    def test_replica_that_falls_out_is_missed_unless_it_was_taken_out(self):
        self.nodes.start_all()
        self.nodes.stop("n1", "n2", "n3")
        self.configure(2, 'replicas = ["n1", "n2"]', 'replicas = ["n1"]')
        code, said = self.nodes.refused("n2")
        self.assertEqual(code, ERROR, said)
        self.assertIn("holds a replica of c1 that its view names, and the configuration gives n2 none", said)
        self.configure(2, 'replicas = ["n1"]', 'replicas = ["n1", "n2"]')
        self.nodes.start_all()
        self.nodes.await_members("c1", "n1", "n2")
        leads = "n1" if self.nodes.status()["c1", "n1"]["role"] == "primary" else "n2"
        if leads == "n2":
            self.check(OK, "group", "promote", "c1", "n1")
        self.check(OK, "group", "remove-replica", "c1", "n2")
        self.nodes.stop("n2")
        self.configure(2, 'replicas = ["n1", "n2"]', 'replicas = ["n1"]')
        self.nodes.start("n2")
        self.nodes.await_line("n2", "is of no use any more")
        self.nodes.await_members("s1", "n2", "n3")


class Stuck:
    """A participant that votes yes and never commits."""

    def prepare(self, request):
        return PrepareReply(ParticipantStatus.OK, "", request.txn, Vote.YES)

    def commit(self, request):
        return FinishReply(ParticipantStatus.UNAVAILABLE, "for ever", request.txn, False)

    def rollback(self, request):
        return FinishReply(ParticipantStatus.OK, "", request.txn, True)

    def recover(self, request):
        return RecoverReply(ParticipantStatus.OK, "", [], False)


class Bench(Case):
    def test_what_was_in_doubt_before_is_named_and_left_alone(self):
        port = self.nodes.ports.first + 7
        processor = TMultiplexedProcessor()
        processor.registerProcessor("Participant", Participant.Processor(Stuck()))
        server = TThreadedServer(processor, TSocket.TServerSocket("127.0.0.1", port),
                                 TTransport.TFramedTransportFactory(), TBinaryProtocolFactory(), daemon=True)
        threading.Thread(target=server.serve, daemon=True).start()
        for node in (1, 2, 3):
            with open(self.nodes.path(f"n{node}.toml"), "a") as file:
                file.write(f'[[resource_managers]]\nname = "inv"\naddress = "127.0.0.1:{port}"\n')
        self.nodes.start_all()
        session = Session(self.nodes.addresses[0]).open()
        self.addCleanup(session.close)
        session.token.seq += 1
        reply = session.client.execute(ExecuteRequest(
            cluster=session.cluster, group=session.leader.group, operations=[],
            tag=CommitTag(token=session.token, sent_to=session.leader.epoch, attempt=1, acked_below=0),
            foreign=[ForeignWork("inv", b"x")]))
        self.assertEqual(reply.ending.outcome, Outcome.COMMITTED, reply)
        txn, = [row["txn"] for row in json.loads(self.check(OK, "txn", "list", "--state", "in-doubt", "-o", "json"))]
        self.check(OK, "bench", "transfer", "--rows", "100", "--seconds", "1", "--warmup", "0", "--clients", "2")
        self.assertIn(f"in doubt since before this run, and left alone: {txn} (waits for inv)", self.err)


class Times(Case):
    groups = {"c1": ["n1"], "s1": ["n1"]}
    count = 1

    def test_idle_limit_is_that_of_the_configuration(self):
        with open(self.nodes.path("n1.toml"), "a") as file:
            file.write("[transactions]\nidle_timeout_ms = 300\n")
        self.nodes.start_all()
        shell = subprocess.Popen([PROGRAM, "shell", "--connect", self.nodes.connect], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 preexec_fn=die_with_parent)
        shell.stdin.write("begin\nput a 1\nget a\n")
        shell.stdin.flush()
        self.assertRegex(shell.stdout.readline(), "^begun ")
        self.nodes.await_that("ended", lambda: "no transactions" in self.check(OK, "txn", "list"))
        _, err = shell.communicate("commit\n", timeout=DEADLINE)
        self.assertNotEqual(shell.returncode, OK)
        self.assertIn("idle", err)
        self.check(ABSENT, "get", "a")


class Files(Case):
    groups = {"c1": ["n1"], "s1": ["n1"]}
    count = 1

    def test_verify_of_no_log(self):
        self.nodes.start_all()
        self.check(OK, "put", "a", "1")
        self.nodes.stop("n1")
        log = self.nodes.path("n1", "s1", "log")
        empty = self.nodes.path("empty")
        os.mkdir(empty)
        self.assertRegex(self.check(OK, "wal", "verify", log), r"^ok  [\d,]+ records in \d+ segments")
        for command in ("verify", "inspect"):
            for directory in (empty, self.nodes.path("n1"), self.nodes.path("n1", "s1"), "/etc"):
                self.assertEqual(self.check(ERROR, "wal", command, directory), "")
                self.assertIn(f"no log segment in {directory}; name a replica's log: DIR/<node>/<group>/log", self.err)
        for name in os.listdir(log):
            if name.startswith("log-"):
                os.remove(os.path.join(log, name))
        self.assertEqual(self.check(ERROR, "wal", "verify", log), "")
        self.assertIn("no log segment in", self.err)

    @unittest.skipIf(os.geteuid() == 0, "root may write everything")
    def test_file_that_may_not_be_written_is_called_that(self):
        self.nodes.start_all()
        self.nodes.stop("n1")
        os.chmod(self.nodes.path("n1", "s1", "state.sqlite"), 0o400)
        code, said = self.nodes.refused("n1")
        self.assertEqual(code, ERROR)
        self.assertIn("Permission denied", said)
        os.chmod(self.nodes.path("n1", "s1", "state.sqlite"), 0o600)


if __name__ == "__main__":
    unittest.main(verbosity=2)
