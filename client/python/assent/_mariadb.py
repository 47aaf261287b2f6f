"""A branch at MariaDB, through PyMySQL or MySQLdb."""

from __future__ import annotations

import importlib
import math
import re
from typing import Any

from ._branch import Branch, Host, Refused, text_of
from ._wire import ttypes
from .errors import AbortReason, InvalidRequest

_TO_SAVEPOINT = re.compile(r"\s*ROLLBACK\s+(WORK\s+)?TO\s", re.IGNORECASE)
_WROTE = "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_write', 'Handler_update', 'Handler_delete')"
_LOCK_WAIT, _DEADLOCK = 1205, 1213


class _Watch:
    """Notes each error that a connection's calls raise: after one MariaDB may have undone a single statement, and
    prepares the rest without a word. Returning to a savepoint directly afterwards mends it."""

    CALLS = ("query", "next_result", "store_result", "_read_packet")  # of PyMySQL's connections and MySQLdb's

    def __init__(self, connection: Any) -> None:
        self.error: Exception | None = None
        self.paused = False
        self._connection = connection
        for call in self.CALLS:
            if hasattr(connection, call):
                setattr(connection, call, self._watched(getattr(connection, call)))

    def end(self) -> None:
        for call in self.CALLS:
            vars(self._connection).pop(call, None)  # and the class's own is found again

    def _watched(self, call: Any) -> Any:
        is_query = call.__name__ == "query"

        def watched(*arguments: Any, **keywords: Any) -> Any:
            try:
                result = call(*arguments, **keywords)
            except Exception as error:
                if not self.paused:
                    self.error = error
                raise
            if is_query and self.error is not None and _is_to_savepoint(arguments[0]):
                self.error = None
            return result
        return watched


def _is_to_savepoint(sql: Any) -> bool:
    text = bytes(sql).decode("utf-8", "replace") if isinstance(sql, (bytes, bytearray)) else str(sql)
    return _TO_SAVEPOINT.match(text) is not None


class MariaDbBranch(Branch):
    kind = "mariadb"
    is_held = True

    def __init__(self, name: str, host: Host, is_pymysql: bool) -> None:
        super().__init__(name, host)
        self._is_pymysql = is_pymysql
        self._watch: _Watch | None = None
        self._before: Any = None  # what _WROTE showed at the start
        self._lock_wait_s: int | None = None  # the session's own
        self._begun = self._ended = False  # by XA START and XA END

    def refused_by(self, error: Exception) -> Refused:
        code = error.args[0] if error.args else None
        if code == _LOCK_WAIT:
            return Refused(text_of(error), AbortReason.LOCK_TIMEOUT)
        return Refused(text_of(error), retryable=code == _DEADLOCK)

    def _check(self) -> None:
        (version, in_transaction, read_only, self._lock_wait_s, self.holder, *identity), = self._rows(
            "SELECT VERSION(), @@in_transaction, @@read_only, @@innodb_lock_wait_timeout, CONNECTION_ID(), "
            "@@hostname, @@port, @@datadir, DATABASE()")
        if "MariaDB" not in str(version):
            raise InvalidRequest(f"{self.name}: the server is MySQL {version}: only MariaDB can be enlisted")
        if in_transaction:
            raise InvalidRequest(f"{self.name}: the connection is in a transaction already: commit or roll it back "
                                 "before it is enlisted, so that none of it is taken for a part of this one")
        if read_only:
            raise InvalidRequest(f"{self.name}: the server is read-only, a replica perhaps: connect to the primary")
        self.holder = str(self.holder)
        self.identity = ("mariadb", *identity)

    def _start(self, lock_timeout_s: float) -> None:
        self._execute(f"SET SESSION innodb_lock_wait_timeout = {max(1, math.ceil(lock_timeout_s))}")
        self._execute(f"XA START {self._xid()}")
        self._begun = True
        self._before = self._rows(_WROTE)
        self._watch = _Watch(self.connection)

    def _prepare(self) -> int:
        assert self._watch is not None
        if self._watch.error is not None:
            refused = self.refused_by(self._watch.error)
            raise Refused(f"a statement failed, and the error was not passed on: {refused}", refused.reason,
                          refused.retryable)
        self._watch.paused = True
        wrote = self._rows(_WROTE) != self._before
        self._execute(f"XA END {self._xid()}")
        self._ended = True
        if not wrote:  # prepared it could not be told, later, from one that was lost
            self._execute(f"XA COMMIT {self._xid()} ONE PHASE")
            self._release()
            return ttypes.Vote.READ_ONLY
        self._execute(f"XA PREPARE {self._xid()}")
        return ttypes.Vote.YES

    def _commit(self) -> None:
        self._execute(f"XA COMMIT {self._xid()}")

    def _roll_back(self) -> None:
        if not self._begun:
            return
        if self._watch is not None:
            self._watch.paused = True
        if not self._ended:
            try:
                self._execute(f"XA END {self._xid()}")
            except Exception:  # a deadlock has rolled it back, or the application has ended it: ROLLBACK tells
                pass
        self._execute(f"XA ROLLBACK {self._xid()}")

    def _release(self) -> None:
        if self._watch is not None:
            self._watch.end()
        try:
            if self._lock_wait_s is not None:
                self._execute(f"SET SESSION innodb_lock_wait_timeout = {int(self._lock_wait_s)}")
        except Exception:  # the connection is lost, and its settings with it
            pass

    def _xid(self) -> str:
        return f"X'{self.xid.gtrid.hex()}',X'{self.xid.bqual.hex()}',{self.xid.format_id}"

    def _execute(self, sql: str) -> None:
        cursor = self._cursor()
        try:
            cursor.execute(sql)
        finally:
            cursor.close()

    def _rows(self, sql: str) -> list[Any]:
        cursor = self._cursor()
        try:
            cursor.execute(sql)
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def _cursor(self) -> Any:
        # Whatever class the connection makes its cursors of: rows are tuples here, and fetched at once.
        module = importlib.import_module("pymysql.cursors" if self._is_pymysql else "MySQLdb.cursors")
        return self.connection.cursor(module.Cursor)
