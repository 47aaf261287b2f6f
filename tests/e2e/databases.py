"""PostgreSQL and MariaDB servers of a test: each in a temporary directory of its own, on a free port of the loopback
interface, as a user without rights where the test runs as root. What the Debian packages start is never used."""

import contextlib
import ctypes
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

DEADLINE = 120  # seconds; the machine may have few cores and much else to do
UNPRIVILEGED = "nobody"
PR_SET_PDEATHSIG = 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _drop_rights():
    """In the child. The signal on the parent's death is forgotten where the user changes, so it is asked for last."""
    if os.getuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    os.umask(0o077)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class _Server:
    """`await_up` of a subclass raises while it does not answer."""

    name = ""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix=f"assent-{self.name}-")
        if os.getuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self.directory, user.pw_uid, user.pw_gid)
        self.data = os.path.join(self.directory, "data")
        self.log = os.path.join(self.directory, "log")
        self.port = free_port()
        self.process = None
        self._environment = {"PATH": os.environ["PATH"] + ":/usr/sbin", "LC_ALL": "C", "HOME": self.directory,
                             "TMPDIR": self.directory}

    def run(self, *command, text=None):
        done = subprocess.run(command, capture_output=True, text=True, input=text, timeout=DEADLINE,
                              cwd=self.directory, env=self._environment, preexec_fn=_drop_rights)
        if done.returncode != 0:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        return done.stdout

    def start_process(self, *command):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.directory, env=self._environment, preexec_fn=_drop_rights)
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                return self.await_up()
            except Exception as error:  # noqa: BLE001: whatever a driver raises while nobody answers
                if self.process.poll() is not None or time.monotonic() > deadline:
                    with open(self.log) as log:
                        raise RuntimeError(f"{self.name} does not start: {log.read()[-2000:]}") from error
            time.sleep(0.05)

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(DEADLINE)
            self.process = None

    def close(self):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


class PostgreSql(_Server):
    """Superuser postgres, an ordinary user `app` who owns the databases `names`; nobody needs a password."""

    name = "postgresql"

    def __init__(self, names=("app",), **settings):
        super().__init__()
        self._bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.settings = {"max_prepared_transactions": 50, "fsync": "off", "listen_addresses": "127.0.0.1",
                         "unix_socket_directories": self.directory, "port": self.port, "autovacuum": "off",
                         "lc_messages": "C", **settings}
        self.run(os.path.join(self._bin, "initdb"), "-D", self.data, "-U", "postgres", "--auth=trust", "--no-sync",
                 "--no-locale", "--encoding=UTF8")
        self.start()
        self.sql("CREATE ROLE app LOGIN", *(f"CREATE DATABASE {name} OWNER app" for name in names))

    def start(self):
        options = [f"--{key}={value}" for key, value in self.settings.items()]
        self.start_process(os.path.join(self._bin, "postgres"), "-D", self.data, *options)

    def stop(self, how=signal.SIGINT):  # "fast"
        super().stop(how)

    def close(self):
        if self.process is not None:
            self.stop(signal.SIGQUIT)  # "immediate": a kill of the postmaster alone leaves its children
        super().close()

    def await_up(self):
        self.sql("SELECT 1")

    def dsn(self, database="app", user="app"):
        return f"host=127.0.0.1 port={self.port} dbname={database} user={user}"

    def url(self, driver="postgresql", database="app", user="app"):
        return f"{driver}://{user}@127.0.0.1:{self.port}/{database}"

    def sql(self, *statements, database="postgres", user="postgres"):
        """Each in a transaction of its own. The rows of the last, if it has any."""
        import psycopg2
        with contextlib.closing(psycopg2.connect(self.dsn(database, user))) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def prepared(self):
        """The ids of all prepared transactions."""
        return [gid for gid, in self.sql("SELECT gid FROM pg_prepared_xacts ORDER BY gid")]


class MariaDb(_Server):
    """Users root, and `app` with all rights on the databases `names`; nobody needs a password."""

    name = "mariadb"

    def __init__(self, names=("app",), **settings):
        super().__init__()
        self.socket = os.path.join(self.directory, "socket")
        self.settings = {"innodb-flush-log-at-trx-commit": 0, "innodb-buffer-pool-size": "32M",
                         "innodb-log-file-size": "16M", "log-bin": "binlog", "server-id": 1, "sync-binlog": 0,
                         "bind-address": "127.0.0.1", **settings}
        self.run("mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--skip-test-db",
                 "--auth-root-authentication-method=normal", "--innodb-buffer-pool-size=32M",
                 "--innodb-flush-log-at-trx-commit=0")
        self.start()
        self.sql("CREATE USER app", *(statement for name in names for statement in (
            f"CREATE DATABASE {name}", f"GRANT ALL ON {name}.* TO app")))

    def start(self):
        options = [f"--{key}={value}" for key, value in self.settings.items()]
        self.start_process("mariadbd", "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}",
                           f"--port={self.port}", f"--pid-file={self.directory}/pid", f"--tmpdir={self.directory}",
                           *options)

    def await_up(self):
        self.sql("SELECT 1")

    def arguments(self, database="app", user="app"):
        """For the drivers, which both take these."""
        return {"host": "127.0.0.1", "port": self.port, "user": user, "database": database}

    def url(self, driver="mysql+pymysql", database="app", user="app"):
        return f"{driver}://{user}@127.0.0.1:{self.port}/{database}"

    def sql(self, *statements, database="", user="root"):
        """Each in a transaction of its own. The rows of the last."""
        import pymysql
        with contextlib.closing(pymysql.connect(unix_socket=self.socket, user=user, database=database,
                                                autocommit=True)) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def prepared(self):
        """(gtrid, bqual) of all prepared branches."""
        return sorted((data[:length], data[length:length + more])
                      for _, length, more, data in self.sql("XA RECOVER"))


class _Standby(PostgreSql):
    """Of a PostgreSql, streaming from it."""

    def __init__(self, primary):  # pylint: disable=super-init-not-called
        _Server.__init__(self)
        self._bin = primary._bin
        self.settings = {**primary.settings, "unix_socket_directories": self.directory, "port": self.port}
        self.run(os.path.join(self._bin, "pg_basebackup"), "-D", self.data, "-R", "-X", "stream", "-c", "fast",
                 "-d", primary.dsn(user="postgres"))
        self.start()


def standby_of(primary):
    return _Standby(primary)
