"""What comes in bad, over the wire, in files and from the system: each with a clear message that names what to do and an
exit code other than 0, or a typed error to the client; nothing lost, and memory bounded."""

import contextlib
import ctypes
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from local import DEADLINE, OK, PROGRAM, ClusterTest, die_with_parent, run  # noqa: E402
from nodes import Nodes  # noqa: E402

from thrift.protocol.TBinaryProtocol import TBinaryProtocol  # noqa: E402
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol  # noqa: E402
from thrift.Thrift import TException  # noqa: E402
from thrift.transport import TSocket, TTransport  # noqa: E402

from assent_wire import Admin, Peer, TransactionManager  # noqa: E402
from assent_wire.ttypes import (AdminRequest, AdminStatus, CommitTag, ExecuteRequest, OpenSessionRequest,  # noqa: E402
                                Operation, OperationKind, Outcome, RefusalCode, Token, WhereIsRequest, WorkRequest)

MIB = 1 << 20
# A hostile peer may not make a node grow by more. (ASan keeps what was freed for a while, up to 256 MiB.)
MEMORY_SLACK = (448 if "ASAN_OPTIONS" in os.environ else 96) * MIB
KEY_MAX, VALUE_MAX, BRANCH_MAX, OPERATIONS_MAX, FRAME_MAX = 1024, 256 * 1024, MIB, 4096, 2 * MIB
CONNECTIONS_MAX = 256  # of the configuration
SEED = int(os.environ.get("ASSENT_E2E_SEED", "17"))


def put(key, value=b"v"):
    return Operation(kind=OperationKind.PUT, key=key, value=value)


class Session:
    """A client that checks nothing itself."""

    def __init__(self, address, service=TransactionManager, name="TransactionManager"):
        host, _, port = address.rpartition(":")
        handle = TSocket.TSocket(host, int(port))
        handle.setTimeout(30_000)
        self.transport = TTransport.TFramedTransport(handle)
        self.transport.open()
        self.client = service.Client(TMultiplexedProtocol(TBinaryProtocol(self.transport), name))

    def open(self):
        where = self.client.where_is(WhereIsRequest(cluster=""))
        self.cluster, self.leader = where.cluster, where.leaders[0]
        opened = self.client.open_session(OpenSessionRequest(cluster=self.cluster, group=self.leader.group))
        self.token = Token(group=self.leader.group, client=opened.client, seq=0, birth_us=opened.birth_us)
        return self

    def execute(self, operations, cluster=None, **changes):
        self.token.seq += 1
        tag = CommitTag(token=self.token, sent_to=self.leader.epoch, attempt=1, acked_below=0)
        for name, value in changes.items():
            setattr(tag, name, value)
        return self.client.execute(ExecuteRequest(cluster=self.cluster if cluster is None else cluster,
                                                  group=self.leader.group, tag=tag, operations=operations, foreign=[]))

    def close(self):
        self.transport.close()


class OverTheWire(ClusterTest):
    def setUp(self):
        self.check(OK, "put", "kept", "1")
        self.memory = {node: self.cluster.peak_memory(node) for node in (1, 2, 3)}
        self.pids = {node: self.cluster.pid(node) for node in (1, 2, 3)}

    def tearDown(self):
        # After any input all nodes are up, serve, hold what was there, and did not grow.
        self.assertEqual(self.check(OK, "get", "kept"), "1\n")
        self.check(OK, "exec", "put after/1 1", "put after/2 1", "put after/3 1")
        self.check(OK, "status")
        for node in (1, 2, 3):
            self.assertEqual(self.cluster.pid(node), self.pids[node])
            grown = self.cluster.peak_memory(node) - self.memory[node]
            print(f"  n{node} VmHWM {self.cluster.peak_memory(node) / MIB:.0f} MiB, grown {grown / MIB:.1f} MiB")
            self.assertLess(grown, MEMORY_SLACK)

    def session(self):
        session = Session(self.cluster.addresses[0]).open()
        self.addCleanup(session.close)
        return session

    def connect(self, node):
        host, _, port = self.cluster.addresses[node - 1].rpartition(":")
        connection = socket.create_connection((host, int(port)), timeout=30)
        self.addCleanup(connection.close)
        return connection

    # ---- Requests over a limit, or without sense

    def test_requests_over_a_limit_are_refused_and_say_which(self):
        session = self.session()
        cases = {
            "a key": ([put(b"k" * (KEY_MAX + 1))], f"{KEY_MAX:,}"),
            "an empty key": ([put(b"")], "key"),
            "a value": ([put(b"k", b"v" * (VALUE_MAX + 1))], f"{VALUE_MAX:,}"),
            "a branch": ([put(b"{t}%d" % i, b"v" * 200_000) for i in range(6)], str(BRANCH_MAX)),
            "operations": ([put(b"{t}%d" % i) for i in range(OPERATIONS_MAX + 1)], str(OPERATIONS_MAX)),
            "an operation of no kind": ([Operation(kind=0, key=b"k")], ""),
            "an unknown operation": ([Operation(kind=99, key=b"k")], ""),
            "a put without a value": ([Operation(kind=OperationKind.PUT, key=b"k")], "field"),
            "an add without a delta": ([Operation(kind=OperationKind.ADD, key=b"k")], "field"),
            "a scan of -1 rows": ([Operation(kind=OperationKind.SCAN, key=b"k", limit=-1)], "limit"),
            "no operations": ([], ""),
        }
        for what, (operations, hint) in cases.items():
            with self.subTest(what):
                reply = session.execute(operations)
                self.assertIsNotNone(reply.refusal, reply)
                self.assertEqual(reply.refusal.code, RefusalCode.INVALID)
                self.assertIn(hint, reply.refusal.detail)
                self.assertNotEqual(reply.refusal.detail, "")
        # The same connection goes on, and the limits themselves are allowed.
        reply = session.execute([put(b"k" * KEY_MAX, b"v" * VALUE_MAX)])
        self.assertIsNone(reply.refusal, reply.refusal)
        self.assertEqual(reply.ending.outcome, Outcome.COMMITTED)
        reply = session.execute([put(b"{t}%d" % i) for i in range(OPERATIONS_MAX)])
        self.assertEqual(reply.ending.outcome, Outcome.COMMITTED)

    def test_another_cluster_unknown_transactions_and_odd_tokens(self):
        session = self.session()
        reply = session.execute([put(b"x")], cluster="another")
        self.assertEqual(reply.refusal.code, RefusalCode.WRONG_CLUSTER)
        self.assertIn(session.cluster, reply.refusal.detail)
        for changes in ({"token": None}, {"attempt": 0}, {"attempt": -5}, {"token": Token()},
                        {"token": Token(group=-1, client=-1, seq=-1, birth_us=-1)}, {"acked_below": -1}):
            with self.subTest(changes):
                reply = session.execute([put(b"x")], **changes)
                self.assertIsNotNone(reply.refusal, reply)
                self.assertNotEqual(reply.refusal.detail, "")
        reply = session.execute([put(b"x")], sent_to=session.leader.epoch + 1000)
        self.assertIsNotNone(reply.refusal)
        reply = session.client.work(WorkRequest(cluster=session.cluster, txn=None, operations=[put(b"x")]))
        self.assertIsNotNone(reply.refusal)

    def test_a_frame_beyond_the_limit_ends_the_connection(self):
        session = self.session()
        with self.assertRaises((TException, OSError)):
            session.execute([put(b"k%d" % i, b"v" * 250_000) for i in range(10)])  # 2.5 MB; peers may send 4
            session.execute([put(b"k")])  # at the latest
        self.assertEqual(self.session().execute([put(b"k")]).ending.outcome, Outcome.COMMITTED)

    # ---- Bytes that are no Thrift

    def frames(self):
        """Hostile frames, and where they stand for something, what."""
        name = b"TransactionManager:execute"
        call = struct.pack(">IB", 0x80010000, 1)[:4]
        head = struct.pack(">I", 0x80010001) + struct.pack(">I", len(name)) + name + struct.pack(">I", 1)
        yield "a length of 2 GiB", struct.pack(">I", 0x7FFFFFFF) + b"x" * 100
        yield "a negative length", struct.pack(">I", 0xFFFFFFFF) + b"x" * 100
        yield "a length just over the limit", struct.pack(">I", 4 * MIB + 1) + b"x" * 100
        yield "half a frame", struct.pack(">I", 1000) + b"x" * 10
        yield "an empty frame", struct.pack(">I", 0)
        yield "HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        yield "TLS", bytes.fromhex("16030100c8010000c403") + bytes(200)
        for what, body in (
                ("a name of 2 GiB", struct.pack(">I", 0x80010001) + struct.pack(">I", 0x7FFFFFFF)),
                ("an unknown service", struct.pack(">I", 0x80010001) + struct.pack(">I", 9) + b"Nobody:no"
                 + struct.pack(">I", 1) + b"\0"),
                ("an unknown method", struct.pack(">I", 0x80010001) + struct.pack(">I", 21)
                 + b"TransactionManager:no" + struct.pack(">I", 1) + b"\0"),
                ("a string of 2 GiB", head + b"\x0c\0\1\x0b\0\1" + struct.pack(">I", 0x7FFFFFFF)),
                ("a list of 2^31 structs", head + b"\x0c\0\1\x0f\0\4\x0c" + struct.pack(">I", 0x7FFFFFFF)),
                ("a list of a million empty structs", head + b"\x0c\0\1\x0f\0\4\x0c" + struct.pack(">I", 1_000_000)
                 + bytes(1_000_000)),
                ("structs nested 100,000 deep", head + b"\x0c\0\1" * 100_000),
                ("a wrong protocol version", struct.pack(">I", 0x80990001) + bytes(20)),
                ("nothing but zeros", bytes(1000)),
                ("half a version", call[:2])):
            yield what, struct.pack(">I", len(body)) + body

    def test_garbage_on_every_port(self):
        chance = random.Random(SEED)
        print(f"  seed {SEED}")
        cases = list(self.frames())
        for i in range(60):
            body = chance.randbytes(chance.choice((1, 10, 1000, 100_000)))
            framed = chance.random() < 0.7
            cases.append((f"random bytes {i}", (struct.pack(">I", len(body)) if framed else b"") + body))
        for node in (1, 2, 3):
            for what, data in cases:
                with self.subTest(what, node=node), contextlib.suppress(OSError):
                    connection = self.connect(node)
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):  # an exception in Thrift, or the end; never silence for ever
                        pass

    def test_valid_peer_frames_with_mutations(self):
        # A real request to each service, with bytes changed: parsed or not, it must not hurt.
        chance = random.Random(SEED + 1)
        recorded = []
        for service, name, call in (
                (Admin, "Admin", lambda client: client.node_status(AdminRequest(cluster=""))),
                (TransactionManager, "TransactionManager", lambda client: client.where_is(WhereIsRequest(cluster=""))),
                (Peer, "Peer", lambda client: client.deliver(None))):
            memory = TTransport.TMemoryBuffer()
            client = service.Client(TMultiplexedProtocol(TBinaryProtocol(memory), name))
            with contextlib.suppress(TException, EOFError, AttributeError, TypeError):
                call(client)
            recorded.append(memory.getvalue())
        for i in range(200):
            body = bytearray(chance.choice(recorded))
            for _ in range(chance.randint(1, 4)):
                body[chance.randrange(len(body))] = chance.randrange(256)
            with contextlib.suppress(OSError):
                connection = self.connect(1 + i % 3)
                connection.sendall(struct.pack(">I", len(body)) + body)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

    def test_more_connections_than_allowed(self):
        connections = []
        for _ in range(2 * CONNECTIONS_MAX):
            with contextlib.suppress(OSError):
                connections.append(self.connect(1))
        # Those beyond the limit were closed or wait; those before it still hold their places. All go, and the node
        # takes new ones.
        for connection in connections:
            connection.close()
        deadline = time.monotonic() + DEADLINE
        while self.cluster.run("get", "kept")[0] != 0:
            self.assertLess(time.monotonic(), deadline)

    def test_many_large_frames_at_once(self):
        # Each of these may buffer one frame at the server, which is what the limits are made for.
        connections = [self.connect(1) for _ in range(20)]
        for connection in connections:
            connection.sendall(struct.pack(">I", FRAME_MAX) + bytes(FRAME_MAX - 1))
        for connection in connections:
            connection.close()


class FilesAndSystem(ClusterTest):
    """A node that cannot start says why, and changes nothing; a replica that cannot be opened keeps no other down."""

    def setUp(self):
        if self.cluster.process.poll() is not None:
            self.cluster.start()  # the case before stopped it, and failed
        self.check(OK, "exec", *[f"put kept/{i} {i}" for i in range(20)])
        with open(self.cluster.config(1)) as config:
            self.config_text = config.read()

    def refused(self, config, code, *hints):
        """Starts a node that must end by itself; what it said."""
        got, out, err = run("node", "--config", config)
        self.assertEqual(got, code, out + err)
        for hint in hints:
            self.assertIn(hint, err)
        return err

    def halted(self, *hints):
        """Node 1 by itself, of which the replica of c1 cannot be opened: it runs, and shows what is wrong."""
        path = os.path.join(self.cluster.directory, "halted.log")
        with open(path, "wb") as log:
            node = subprocess.Popen([PROGRAM, "node", "--config", self.cluster.config(1)], stderr=log,
                                    preexec_fn=die_with_parent)
        try:
            deadline = time.monotonic() + DEADLINE
            rows = []
            while not rows:
                self.assertIsNone(node.poll())
                self.assertLess(time.monotonic(), deadline)
                _, out, _ = run("status", "-o", "json", connect=self.cluster.addresses[0])
                rows = [row for row in json.loads(out or "[]")
                        if row["group"] == "c1" and row["node"] == "n1" and row["role"] == "halted"]
            for hint in hints:
                self.assertIn(hint, rows[0]["state"])
            return rows[0]["state"]
        finally:
            node.terminate()
            self.assertEqual(node.wait(DEADLINE), 0)

    def write_config(self, *changes):
        """A configuration for another node process, with pieces of text replaced."""
        text = self.config_text
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        path = os.path.join(self.cluster.directory, "other.toml")
        with open(path, "w") as config:
            config.write(text)
        return path

    def everything_is_there(self):
        self.cluster.start()
        for i in range(20):
            self.assertEqual(self.check(OK, "get", f"kept/{i}"), f"{i}\n")

    def test_unreadable_configurations(self):
        directory = self.cluster.directory
        self.refused(os.path.join(directory, "nowhere.toml"), 1, "nowhere.toml", "No such file")
        self.refused(directory, 1, directory)
        for name, content, hint in (("binary.toml", bytes(range(256)) * 10, "not valid TOML"),
                                    ("text.toml", b"cluster is mine\n", "not valid TOML"),
                                    ("empty.toml", b"", "cluster is missing"),
                                    ("large.toml", b"# comment\n" * 200_000, "is it the right file")):
            path = os.path.join(directory, name)
            with open(path, "wb") as config:
                config.write(content)
            self.refused(path, 2, path, hint)
        self.refused(self.write_config(("[limits]", "[limit]")), 2, "unknown key limit; did you mean limits?")
        if os.getuid() != 0:  # root reads everything
            path = self.write_config()
            os.chmod(path, 0)
            self.refused(path, 1, path, "Permission denied")

    def test_port_in_use_and_address_of_another_machine(self):
        address = f"127.0.0.1:{self.cluster.ports.first}"
        # The port of its own node that runs: that it runs is told, which is the reason.
        self.refused(self.write_config(('data = "n1"', 'data = "elsewhere"')), 1, "n1 runs already", address)
        self.cluster.stop()
        with socket.create_server(("127.0.0.1", self.cluster.ports.first)):  # somebody else's
            self.refused(self.write_config(), 1, "is in use", str(self.cluster.ports.first))
        self.refused(self.write_config((f'listen = "{address}"', f'listen = "192.0.2.1:{self.cluster.ports.first}"')),
                     2, "--insecure")

    def test_second_process_on_a_data_directory(self):
        free = self.cluster.ports.first + 5
        err = self.refused(
            self.write_config((f'listen = "127.0.0.1:{self.cluster.ports.first}"', f'listen = "127.0.0.1:{free}"')), 1,
            "runs on this data directory", "Stop it first")
        self.assertIn(str(self.cluster.pid(1)), err)
        self.assertEqual(self.check(OK, "get", "kept/1"), "1\n")

    def test_data_of_another_cluster_and_of_another_node(self):
        self.cluster.stop()
        with open(self.cluster.config(1)) as config:
            cluster = config.readline().split('"')[1]
        other = cluster[:-4] + ("0000" if cluster[-4:] != "0000" else "1111")
        self.refused(self.write_config((cluster, other)), 1, "belongs to cluster " + cluster,
                     "Set node.data to this cluster's own directory")
        self.refused(self.write_config(('data = "n1"', 'data = "n2"')), 1, "belongs to node n2",
                     "Set node.data to this node's own directory")
        # Only the directory of views is another's.
        self.refused(self.write_config((cluster, other), ('data = "n1"', 'data = "fresh"')), 1, cluster, "directory")
        self.everything_is_there()

    def test_data_of_a_newer_format(self):
        self.cluster.stop()

        def patched(path, old, new):
            """Changes bytes of a file while the block runs."""
            @contextlib.contextmanager
            def change():
                with open(path, "rb") as file:
                    before = file.read()
                at = before.index(old) if isinstance(old, bytes) else old
                length = len(old) if isinstance(old, bytes) else len(new)
                with open(path, "r+b") as file:
                    file.seek(at)
                    file.write(new)
                try:
                    yield
                finally:
                    with open(path, "r+b") as file:
                        file.seek(at)
                        file.write(before[at:at + length])
            return change()

        data = self.cluster.data(1)
        for path, old, new in ((os.path.join(data, "identity"), b"assent node 1", b"assent node 9"),
                               (os.path.join(data, "c1", "identity"), b"assent replica 1", b"assent replica 9"),
                               (os.path.join(data, "c1", "state.sqlite"), 60, struct.pack(">I", 9))):
            with self.subTest(path), patched(path, old, new):
                if path == os.path.join(data, "identity"):
                    self.refused(self.cluster.config(1), 1, path, "format 9", "newer assent")
                else:
                    self.halted(path, "format 9", "newer assent")
        # A segment of the log: its header's checksum holds, as a newer program's would.
        log = os.path.join(data, "c1", "log")
        path = os.path.join(log, sorted(name for name in os.listdir(log) if name.startswith("log-"))[-1])
        with open(path, "rb") as file:
            header = bytearray(file.read(504))
        header[8:12] = struct.pack("<I", 9)
        xxhash = ctypes.CDLL("libxxhash.so.0")
        xxhash.XXH3_64bits.restype = ctypes.c_uint64
        header += struct.pack("<Q", xxhash.XXH3_64bits(bytes(header), ctypes.c_size_t(len(header))))
        with self.subTest(path), patched(path, 0, bytes(header)):
            self.halted(path, "format version 9", "reads version 1")
        self.everything_is_there()

    def test_damaged_and_missing_files(self):
        self.cluster.stop()
        data = self.cluster.data(1)
        for path in ("identity", "c1/identity", "c1/state.sqlite", "c1/log"):
            with self.subTest(path + " is missing"):
                os.rename(os.path.join(data, path), os.path.join(data, "..", "aside"))
                text = self.refused(self.cluster.config(1), 1, data) if path == "identity" else self.halted(data)
                self.assertRegex(text, "[Mm]ove|copy")
                self.restore(os.path.join(data, path))
        for path in ("identity", "c1/identity"):
            with self.subTest(path + " is damaged"):
                shutil.copy(os.path.join(data, path), os.path.join(data, "..", "aside"))
                with open(os.path.join(data, path), "r+b") as file:
                    file.seek(30)
                    file.write(b"?")
                where = os.path.join(data, path)
                text = self.refused(self.cluster.config(1), 1, where) if path == "identity" else self.halted(where)
                self.assertRegex(text, "damaged|does not read")
                self.restore(os.path.join(data, path))
        self.everything_is_there()

    def restore(self, path):
        if os.path.isdir(path):
            shutil.rmtree(path)
        os.replace(os.path.join(self.cluster.directory, "aside"), path)

    def test_directory_without_permissions(self):
        if os.getuid() == 0:
            # Root may do everything, so a file stands where the directory should be, and a read-only name space.
            path = os.path.join(self.cluster.directory, "file")
            with open(path, "w"):
                pass
            self.refused(self.write_config(('data = "n1"', 'data = "file"')), 1, path)
            self.refused(self.write_config(('data = "n1"', 'data = "/proc/assent"')), 1, "/proc/assent")
            return
        path = os.path.join(self.cluster.directory, "closed")
        os.makedirs(path)
        os.chmod(path, 0o500)
        self.refused(self.write_config(('data = "n1"', 'data = "closed"')), 1, path, "Permission denied")

    def test_data_directory_of_something_else(self):
        path = os.path.join(self.cluster.directory, "letters")
        os.makedirs(path)
        with open(os.path.join(path, "letter"), "w"):
            pass
        self.refused(self.write_config(('data = "n1"', 'data = "letters"')), 1, 'holds "letter"',
                     "Set node.data to an empty or a new directory")


class Usage(unittest.TestCase):
    def test_node_without_configuration(self):
        code, out, err = run("node")
        self.assertEqual((code, out), (2, ""))
        self.assertIn("--config", err)

    def test_stop_signals(self):
        # SIGTERM while it starts or serves: an orderly end.
        nodes = Nodes("stop", groups={"c1": ["n1"], "s1": ["n1"]}, count=1)
        self.addCleanup(nodes.close)
        for _ in range(3):
            nodes.start("n1")
            nodes.await_that("a commit", lambda: nodes.run("put", "a", "1")[0] == OK)
            self.assertEqual(nodes.stop("n1"), [OK], nodes.log("n1"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
