"""A cluster of `assent node` processes that a test starts and stops one by one, with their configurations by hand."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

from local import DEADLINE, PROGRAM, Ports, die_with_parent, new_directory, run

CLUSTER = "7b0c2d7e-1111-4222-8333-0123456789ab"
# Leading nodes first. Two of three nodes hold s1, so a test can take either of them.
GROUPS = {"c1": ["n3"], "s1": ["n1", "n2"]}


class Nodes:
    def __init__(self, name, groups=None, count=3, options=()):
        self.directory = new_directory(name)
        self.ports = Ports()
        self.groups = groups or GROUPS
        self.count = count
        self.options = options  # of `assent node`
        self.addresses = [f"127.0.0.1:{self.ports.first + i}" for i in range(count)]
        self.connect = ",".join(self.addresses)
        self.processes = {}
        for node in range(1, count + 1):
            self.write_config(f"n{node}", node)

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def write_config(self, name, node, data=None, port=None, directory="directory"):
        """The configuration `name`.toml, of node `node`: as the others expect it but for what is said."""
        listen = self.addresses[node - 1] if port is None else f"127.0.0.1:{self.ports.first + port}"
        text = (f'cluster = "{CLUSTER}"\n[node]\nid = "n{node}"\nlisten = "{listen}"\ndata = "{data or f"n{node}"}"\n'
                f'[directory]\nkind = "embedded"\npath = "{directory}"\n')
        for i, address in enumerate(self.addresses, 1):
            text += f'[[nodes]]\nid = "n{i}"\naddress = "{address}"\n'
        for group, replicas in self.groups.items():
            text += f'[[groups]]\nid = "{group}"\nreplicas = {json.dumps(replicas)}\n'
        with open(self.path(f"{name}.toml"), "w") as file:
            file.write(text)

    def start(self, *names):
        for name in names:
            with open(self.path(f"{name}.log"), "ab") as log:
                self.processes[name] = subprocess.Popen(
                    [PROGRAM, "node", "--config", self.path(f"{name}.toml"), *self.options], stdout=log,
                    stderr=log, preexec_fn=die_with_parent)

    def start_all(self):
        self.start(*(f"n{node}" for node in range(1, self.count + 1)))
        self.await_serving()

    def signal(self, name, number):
        self.processes[name].send_signal(number)

    def kill(self, *names):
        for name in names:
            self.processes[name].kill()
            self.processes.pop(name).wait()

    def stop(self, *names):
        """As an operator does. The exit codes."""
        for name in names:
            self.processes[name].terminate()
        return [self.processes.pop(name).wait(DEADLINE) for name in names]

    def refused(self, name):
        """What a node says that does not start: its exit code and its words."""
        done = subprocess.run([PROGRAM, "node", "--config", self.path(f"{name}.toml")], capture_output=True, text=True,
                              timeout=DEADLINE, preexec_fn=die_with_parent)
        return done.returncode, done.stderr

    def log(self, name):
        with open(self.path(f"{name}.log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    def run(self, *arguments, **keywords):
        return run(*arguments, connect=self.connect, **keywords)

    def status(self):
        """(group, node) to what `assent status` prints of the replica."""
        _, out, _ = self.run("status", "-o", "json")
        return {(row["group"], row["node"]): row for row in json.loads(out or "[]") if row.get("group")}

    def await_that(self, what, holds):
        deadline = time.monotonic() + DEADLINE
        while not holds():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what} does not come to pass: {self.run('status')}")
            time.sleep(0.05)

    def await_line(self, name, pattern):
        """A node's log lines are written by a thread of their own, behind what they tell."""
        deadline = time.monotonic() + DEADLINE
        while not re.search(pattern, self.log(name)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not say {pattern!r}:\n{self.log(name)}")
            time.sleep(0.05)

    def await_serving(self):
        self.await_that("every group serves", lambda: sum(
            row["state"] == "serving" for row in self.status().values()) == len(self.groups))

    def await_members(self, group, *nodes):
        def are_members():
            _, out, _ = self.run("group", "show", "-o", "json")
            views = [row for row in json.loads(out or "[]") if row["group"] == group]
            return bool(views) and {views[0]["primary"], *views[0]["backups"]} == set(nodes)
        self.await_that(f"{group} on {nodes}", are_members)

    def await_whole(self):
        """So that any one node may go away."""
        for group, nodes in self.groups.items():
            self.await_members(group, *nodes)

    def close(self, keep=False):
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.ports.close()
        if keep:
            print(f"configurations, data and logs are kept in {self.directory}")
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


class NodesTest(unittest.TestCase):
    """Of a cluster that each case has for itself."""

    name = ""  # of its directory
    groups = None
    first = ()  # key and value of a row that is there

    def setUp(self):
        self.nodes = Nodes(self.name, self.groups)
        self.addCleanup(lambda: self.nodes.close(keep=self.failed()))
        self.nodes.start_all()
        if self.first:
            self.put(*self.first)

    def failed(self):
        result = self._outcome.result
        return any(test is self for test, _ in result.failures + result.errors)

    def put(self, key, value):
        code, out, err = self.nodes.run("put", key, value)
        self.assertEqual(code, 0, out + err)

    def expect(self, key, value):
        self.assertEqual(self.nodes.run("get", key)[:2], (0, value + "\n"))
