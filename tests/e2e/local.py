"""A local cluster of real `assent` processes for a test in Python, and its commands."""

import contextlib
import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

PROGRAM = os.environ["ASSENT_PROGRAM"]
DIRECTORY = os.environ["ASSENT_E2E_DIRECTORY"]
DEADLINE = 120  # seconds; generous: the machine may have few cores and much else to do
FIRST_PORT, BLOCK_PORTS, BLOCKS = 20_000, 8, 1_500  # as tests/e2e/test_cluster.cc
PR_SET_PDEATHSIG = 1
OK, ERROR, USAGE, ABORTED, UNKNOWN, UNAVAILABLE, ABSENT = 0, 1, 2, 3, 4, 6, 7  # exit codes of every command


class Ports:
    """A block of ports that no other test of this user draws while the object lives, below the ephemeral ones."""

    def __init__(self):
        directory = os.path.join(tempfile.gettempdir(), f"assent-test-ports-{os.getuid()}")
        os.makedirs(directory, exist_ok=True)
        for i in range(BLOCKS):
            block = (os.getpid() + i) % BLOCKS
            self._lock = open(os.path.join(directory, str(block)), "a")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.first = FIRST_PORT + block * BLOCK_PORTS
                for port in range(self.first, self.first + BLOCK_PORTS):
                    with socket.socket() as probe:
                        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        probe.bind(("127.0.0.1", port))
                return
            except OSError:
                self._lock.close()
        raise RuntimeError("no block of ports is free")

    def close(self):
        self._lock.close()


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def new_directory(name):
    os.makedirs(DIRECTORY, exist_ok=True)
    return tempfile.mkdtemp(prefix=name + "-", dir=DIRECTORY)


def environment_of(env=None, connect=None):
    environment = {**os.environ, **(env or {})}
    if connect is not None:
        environment["ASSENT_CONNECT"] = connect
    return environment


def run(*arguments, stdin="", timeout=DEADLINE, env=None, connect=None):
    """(exit code, stdout, stderr) of the program."""
    done = subprocess.run([PROGRAM, *arguments], input=stdin, capture_output=True, text=True, timeout=timeout,
                          env=environment_of(env, connect), preexec_fn=die_with_parent)
    return done.returncode, done.stdout, done.stderr


class Cluster:
    """`assent dev`: three nodes, n1 to n3."""

    def __init__(self, name):
        self.directory = new_directory(name)
        self.ports = Ports()
        self.start()

    def start(self):
        self._log = open(os.path.join(self.directory + ".dev.log"), "ab")
        self.process = subprocess.Popen(
            [PROGRAM, "dev", "--dir", self.directory, "--port", str(self.ports.first)], stdout=subprocess.PIPE,
            stderr=self._log, text=True, preexec_fn=die_with_parent)
        self.banner = ""
        give_up = threading.Timer(DEADLINE, self.process.kill)
        give_up.start()
        for line in self.process.stdout:
            self.banner += line
            if "Stop with ^C" in line:
                break
        give_up.cancel()
        if "Stop with ^C" not in self.banner:
            raise RuntimeError(f"assent dev does not start; see {self._log.name}: {self.banner}")
        self.connect = re.search(r"ASSENT_CONNECT=(\S+)", self.banner).group(1)
        self.addresses = self.connect.split(",")

    def stop(self):
        """As ^C does. The exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(DEADLINE)
        self.process.stdout.close()
        self._log.close()
        return code

    def close(self, keep=False):
        if self.process.poll() is None:
            self.stop()
        self.ports.close()
        if keep:
            print(f"configurations, data and logs are kept in {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)
            with contextlib.suppress(OSError):
                os.remove(self._log.name)

    def run(self, *arguments, **keywords):
        return run(*arguments, connect=self.connect, **keywords)

    def config(self, node):
        return os.path.join(self.directory, f"n{node}.toml")

    def data(self, node):
        return os.path.join(self.directory, f"n{node}")

    def pid(self, node):
        with open(os.path.join(self.data(node), "lock")) as lock:
            return int(lock.read())

    def peak_memory(self, node):
        """VmHWM in bytes."""
        with open(f"/proc/{self.pid(node)}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) * 1024

    def serving(self):
        """How many groups have a primary that serves; status prints JSON even where a node does not answer."""
        _, out, _ = self.run("status", "-o", "json")
        return sum(row["state"] == "serving" for row in json.loads(out or "[]"))

    def await_serving(self, groups=3):
        deadline = time.monotonic() + DEADLINE
        while self.serving() < groups:
            if time.monotonic() > deadline:
                raise RuntimeError(f"not serving: {self.run('status')}")
            time.sleep(0.05)


class ClusterTest(unittest.TestCase):
    """Tests on one cluster, which stays if one of them fails."""

    @classmethod
    def new_cluster(cls):
        return Cluster(cls.__name__.lower())

    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.new_cluster()
        cls.failed = False

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close(keep=cls.failed)

    def run(self, result=None):
        before = len(result.failures) + len(result.errors)
        super().run(result)
        type(self).failed |= len(result.failures) + len(result.errors) > before

    def check(self, code, *arguments, **keywords):
        """stdout, where the exit code is as wanted."""
        got, out, err = self.cluster.run(*arguments, **keywords)
        self.assertEqual(got, code, f"{arguments}: {out}{err}")
        if code != OK:
            self.assertNotEqual(err, "")
        self.err = err
        return out
