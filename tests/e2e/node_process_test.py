"""A node as a process: its signals, its descriptors, its log, and crowds of connections to it."""

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest
import unittest.mock

import local

CLUSTER = "7b0c2d7e-5555-4222-8333-0123456789ab"
SANITIZED = any(name in os.environ for name in ("ASAN_OPTIONS", "TSAN_OPTIONS"))  # which take memory of their own
GROUPS = {"c1": ["n1", "n2"], "s1": ["n2", "n3"], "s2": ["n3", "n1"]}


def await_that(what, condition):
    deadline = time.monotonic() + local.DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {local.DEADLINE} s: {what}")
        time.sleep(0.05)


class Nodes:
    """Three nodes, each started and stopped by itself."""

    def __init__(self, name, connections_max=64):
        self.directory = local.new_directory(name)
        self.ports = local.Ports()
        self.processes = {}
        for n in (1, 2, 3):
            text = f'cluster = "{CLUSTER}"\n[node]\nid = "n{n}"\nlisten = "127.0.0.1:{self.port(n)}"\ndata = "n{n}"\n'
            text += '[directory]\nkind = "embedded"\npath = "directory"\n'
            text += "".join(f'[[nodes]]\nid = "n{k}"\naddress = "127.0.0.1:{self.port(k)}"\n' for k in (1, 2, 3))
            for group, replicas in GROUPS.items():
                text += f'[[groups]]\nid = "{group}"\nreplicas = [{", ".join(map(repr, replicas))}]\n'
            text += f"[limits]\nconnections_max = {connections_max}\n"
            text += "[log]\nsegment_bytes = 4194304\ncheckpoint_bytes = 262144\n"
            with open(self.path(f"n{n}.toml"), "w") as file:
                file.write(text.replace("'", '"'))
        self.connect = ",".join(f"127.0.0.1:{self.port(n)}" for n in (1, 2, 3))

    def path(self, name):
        return os.path.join(self.directory, name)

    def port(self, n):
        return self.ports.first + n

    def start(self, n, prepare=lambda: None, **streams):
        def before_exec():
            local.die_with_parent()
            prepare()
        if not streams:
            with open(self.path(f"n{n}.log"), "ab") as log:
                return self.start(n, prepare, stdout=log, stderr=log)
        self.processes[n] = subprocess.Popen([local.PROGRAM, "node", "--config", self.path(f"n{n}.toml")],
                                             preexec_fn=before_exec, close_fds=False, **streams)
        return self.processes[n]

    def start_all(self):
        for n in (1, 2, 3):
            self.start(n)
        await_that("all groups serve", lambda: self.serving() == len(GROUPS))
        self.await_whole()

    def stop(self, n, signum=signal.SIGTERM):
        self.processes[n].send_signal(signum)
        return self.processes[n].wait(local.DEADLINE)

    def close(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        self.ports.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, *arguments, **keywords):
        return local.run(*arguments, connect=self.connect, **keywords)

    def check_running(self):
        for n, process in self.processes.items():
            if (process.poll() or 0) > 0:
                raise AssertionError(f"n{n} ended by itself: {process.returncode}\n{self.log(n)[-5000:]}")

    def serving(self):
        self.check_running()
        return self.run("status", "-o", "json")[1].count('"serving"')

    def log(self, n):
        with open(self.path(f"n{n}.log"), errors="replace") as file:
            return file.read()

    def members(self):
        """Of each group, as the directory has them."""
        members = {}
        for group in GROUPS:
            views = self.path(f"directory/groups/{group}")
            newest = max(name for name in os.listdir(views) if name.startswith("view."))
            with open(os.path.join(views, newest)) as view:
                named = re.search(r"members=(\S*)", view.read()).group(1)
            members[group] = {member.split(":")[0] for member in named.split(",")}
        return members

    def await_whole(self):
        def whole():
            self.check_running()
            return self.members() == {group: set(replicas) for group, replicas in GROUPS.items()}
        await_that("all replicas are members", whole)


class NodeProcess(unittest.TestCase):
    def setUp(self):
        self.nodes = Nodes(self._testMethodName)
        self.addCleanup(self.nodes.close)

    def test_planned_stop_leaves_every_view_and_the_next_start_returns(self):
        nodes = self.nodes
        nodes.start_all()
        commits, stopping = [], threading.Event()

        def load():
            while not stopping.is_set():
                if nodes.run("exec", "add a 1", "add b 1", "add c 1")[0] == 0:
                    commits.append(time.monotonic())
        loaders = [threading.Thread(target=load) for _ in range(2)]
        for loader in loaders:
            loader.start()
        try:
            for n in (1, 2, 3):
                began = time.monotonic()
                self.assertEqual(nodes.stop(n), 0)
                for group, members in nodes.members().items():
                    self.assertNotIn(f"n{n}", members, f"{group} would have waited for n{n}")
                nodes.start(n)
                nodes.await_whole()
                await_that("a commit since", lambda: commits and commits[-1] > began)
                times = [t for t in commits if t > began - 1]
                print(f"n{n}: longest pause between commits "
                      f"{max(b - a for a, b in zip(times, times[1:])) * 1000:.0f} ms", flush=True)
        finally:
            stopping.set()
            for loader in loaders:
                loader.join()
        nodes.await_whole()

    # Also run with ThreadSanitizer, for which a race ends a process, be it a node or a command, with another status.
    def test_load_commands_drains_stops_and_a_lost_disk_at_the_same_time(self):
        nodes = self.nodes
        nodes.start_all()
        # The first segments of the shards' logs go, so only a snapshot makes up for a lost disk.
        rows = "".join(f"put large/{i} {'x' * 200_000}\n" for i in range(8))
        for _ in range(6):
            self.assertEqual(nodes.run("exec", "-f", "-", stdin=rows)[0], 0)
        done, odd = threading.Event(), []

        def repeat(*arguments, stdin=""):
            while not done.is_set():
                code, _, err = nodes.run(*arguments, stdin=stdin)
                if code not in range(8):
                    odd.append((arguments, code, err[-5000:]))
        interactive = "begin\nadd a 1\nget b\ncommit\n"
        threads = [threading.Thread(target=repeat, args=arguments) for arguments in (
            ("exec", "add a 1", "add b 1", "add c 1"), ("exec", "add c 1", "add a 1"), ("scan", "a"),
            ("status",), ("txn", "list"), ("group", "show"))]
        threads.append(threading.Thread(target=repeat, args=("shell",), kwargs={"stdin": interactive}))
        for thread in threads:
            thread.start()
        try:
            nodes.run("group", "drain", "n1")
            nodes.processes[1].send_signal(signal.SIGTERM)
            self.check_end(1)
            nodes.start(1)
            nodes.await_whole()
            nodes.processes[2].send_signal(signal.SIGHUP)
            nodes.processes[2].send_signal(signal.SIGTERM)
            self.check_end(2)
            nodes.start(2)
            nodes.await_whole()
            nodes.stop(3, signal.SIGKILL)
            shutil.rmtree(nodes.path("n3"))
            nodes.start(3)
            await_that("a snapshot taken in", lambda: "installed a snapshot" in nodes.log(3))
            nodes.await_whole()
        finally:
            done.set()
            for thread in threads:
                thread.join()
        for n in (1, 2, 3):
            nodes.processes[n].send_signal(signal.SIGTERM)
        for n in (1, 2, 3):
            self.check_end(n)
        self.assertEqual(odd, [])

    def check_end(self, n):
        self.assertEqual(self.nodes.processes[n].wait(local.DEADLINE), 0, self.nodes.log(n)[-5000:])

    def test_stop_of_the_whole_cluster_leaves_the_views_as_they_are(self):
        nodes = self.nodes
        nodes.start_all()
        for process in nodes.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in nodes.processes.values():
            self.assertEqual(process.wait(local.DEADLINE), 0)
        self.assertEqual(nodes.members(), {group: set(replicas) for group, replicas in GROUPS.items()})
        nodes.start_all()

    def test_second_signal_ends_it_at_once(self):
        nodes = self.nodes
        # ThreadSanitizer would wait for a second, and then blame it for the threads that have ended by then.
        options = os.environ.get("TSAN_OPTIONS", "") + ":atexit_sleep_ms=0:report_thread_leaks=0"
        with unittest.mock.patch.dict(os.environ, TSAN_OPTIONS=options):
            nodes.start_all()
        nodes.processes[1].send_signal(signal.SIGTERM)
        self.assertEqual(nodes.stop(1, signal.SIGINT), 128 + signal.SIGTERM)

    def test_hangup_is_ignored(self):
        nodes = self.nodes
        nodes.start_all()
        nodes.processes[1].send_signal(signal.SIGHUP)
        self.assertEqual(nodes.run("put", "k", "1")[0], 0)
        self.assertIsNone(nodes.processes[1].poll())
        self.assertEqual(nodes.stop(1), 0)

    def test_closed_standard_descriptors_are_given_to_no_file(self):
        def close():
            for fd in (0, 1, 2):
                os.close(fd)
        process = self.nodes.start(1, close, stdin=None)
        lock = self.nodes.path("n1/lock")
        await_that("the lock", lambda: os.path.exists(lock) and os.path.getsize(lock) > 0)
        await_that("its port", lambda: self.is_open(1))  # links to others that are away were tried: lines are logged
        for fd in (0, 1, 2):
            self.assertEqual(os.readlink(f"/proc/{process.pid}/fd/{fd}"), "/dev/null")
        with open(lock) as file:
            self.assertEqual(file.read().strip(), str(process.pid))
        self.assertEqual(self.nodes.stop(1), 0)

    def test_reader_of_the_log_that_stands_still_holds_nobody_up(self):
        nodes = self.nodes
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        os.set_blocking(writer, True)
        for n in (2, 3):
            nodes.start(n)
        nodes.start(1, stdout=writer, stderr=writer)
        os.close(writer)
        await_that("all groups serve", lambda: nodes.serving() == len(GROUPS))
        nodes.processes[3].kill()  # of which n1 has to say something
        await_that("n1 goes on", lambda: nodes.run("put", "k", "1")[0] == 0)
        self.assertEqual(nodes.stop(1), 0)
        os.close(reader)

    def is_open(self, n):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.nodes.port(n))):
            return True
        return False

    def test_too_few_descriptors_are_told_of_before_anything_is_opened(self):
        nodes = self.nodes
        works = None
        for limit in (6, 7, 8, 12, 20, 23, 40, 64, 100, 128, 160, 192, 224, 256):
            process = nodes.start(1, lambda limit=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            await_that("an end or a port", lambda: process.poll() is not None or self.is_open(1))
            if process.poll() is None:
                works = limit
                self.assertEqual(nodes.stop(1), 0)
                process.stdout.close()
                continue
            text = process.stdout.read()
            process.stdout.close()
            self.assertEqual(process.returncode, 1, text)
            self.assertIn(f"may have {limit} files open", text)
            self.assertIsNone(works, f"{works} were enough, and {limit} are not")
        self.assertEqual(works, 256)

    def test_crowds_of_connections_keep_neither_operators_nor_peers_nor_clients_out(self):
        nodes = self.nodes
        nodes.start_all()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        quit_crowd = threading.Event()

        def crowd(n):  # pools of 300 that open again what is closed
            held = []
            while not quit_crowd.is_set():
                for peer in held[:]:
                    try:
                        gone = peer.recv(1, socket.MSG_DONTWAIT) == b""
                    except BlockingIOError:
                        gone = False
                    except OSError:
                        gone = True
                    if gone:
                        peer.close()
                        held.remove(peer)
                while len(held) < 300:
                    try:
                        held.append(socket.create_connection(("127.0.0.1", nodes.port(n)), 2))
                    except OSError:
                        break
                time.sleep(0.1)
            for peer in held:
                peer.close()
        crowds = [threading.Thread(target=crowd, args=(n,)) for n in (1, 2, 3)]
        for each in crowds:
            each.start()
        try:
            time.sleep(1)  # not waited for: only so that there is a crowd
            self.assertEqual(nodes.run("status")[0], 0)
            self.assertEqual(nodes.run("put", "k", "1")[0], 0)
            nodes.processes[2].kill()
            nodes.processes[2].wait()
            await_that("a commit without n2", lambda: nodes.run("put", "k", "2")[0] == 0)
            nodes.start(2)
            nodes.await_whole()
            self.assertEqual(nodes.run("put", "k", "3")[0], 0)
        finally:
            quit_crowd.set()
            for each in crowds:
                each.join()

    def test_hostile_messages_take_bounded_memory(self):
        nodes = Nodes(self._testMethodName + "-wide", connections_max=1024)
        self.addCleanup(nodes.close)
        nodes.start_all()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        views = nodes.members()
        large = 2 * 1024 * 1024 - 1024
        for body in (self.call(list_of_structs(65_536)), self.call(list_of_structs(16_000, b"\x08\0\x01\0\0\0\1\0")),
                     self.call(b"\x0b\0\x09" + struct.pack(">I", large) + b"x" * large)):
            frame = struct.pack(">I", len(body)) + body
            held = []
            whole = len(frame) < large
            for _ in range(300 if whole else 100):
                with contextlib.suppress(OSError):
                    peer = socket.create_connection(("127.0.0.1", nodes.port(1)), 5)
                    held.append(peer)
                    peer.setblocking(False)
                    peer.send(frame if whole else frame[:-1])
            self.assertEqual(nodes.run("put", "k", "1")[0], 0)
            for peer in held:
                peer.close()
        if SANITIZED:
            return
        with open(f"/proc/{nodes.processes[1].pid}/status") as status:
            peak = int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1))
        print(f"peak of n1: {peak // 1024} MiB", flush=True)
        self.assertLess(peak, 600 * 1024)
        self.assertEqual(nodes.members(), views, "a lease was lost")

    @staticmethod
    def call(fields):
        name = b"TransactionManager:execute"
        head = struct.pack(">I", 0x80010001) + struct.pack(">I", len(name)) + name + struct.pack(">I", 0)
        return head + b"\x0c\0\1" + fields + b"\0\0"


def list_of_structs(count, each=b"\0"):
    return b"\x0f\0\x04\x0c" + struct.pack(">I", count) + each * count


if __name__ == "__main__":
    sys.exit(unittest.main(verbosity=2))
