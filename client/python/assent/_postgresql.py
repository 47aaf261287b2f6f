"""A branch at PostgreSQL, through psycopg2 or psycopg (3). Never the drivers' own tpc_ calls: they take a PREPARE
that was answered with ROLLBACK for one that succeeded, and leave the connection blocked."""

from __future__ import annotations

from typing import Any

from ._branch import Branch, Host, Refused, State
from ._wire import ttypes
from .errors import AbortReason, InvalidRequest

_IDLE, _ACTIVE, _IN_TRANSACTION, _IN_ERROR = 0, 1, 2, 3  # libpq's PQtransactionStatus; 4: unknown
_WEAK = frozenset({"off", "local", "remote_write"})  # synchronous_commit that a yes must not rest on
_FAILED = "a statement failed, and the error was not passed on: its effects and those before it are undone"
_ENDED = ("its transaction was ended on the connection (commit, rollback, or a block that does so): what was done "
          "before that is no part of the branch. Leave the ending to the transaction")
_TRANSIENT = frozenset({"40001", "40P01"})  # serialization failure, deadlock
_LOOK = ("SELECT coalesce(current_setting('assent.branch', true), ''), coalesce("
         "pg_current_xact_id_if_assigned()::text, ''), (pg_control_system()).system_identifier::text, "
         "pg_walfile_name(pg_current_wal_lsn()), current_setting('synchronous_commit')")


class PostgreSqlBranch(Branch):
    """psycopg2 and psycopg agree in what is used of them here, but for notices, SQLSTATEs and several statements at
    once."""

    kind = "postgresql"

    def __init__(self, name: str, host: Host, is_psycopg2: bool) -> None:
        super().__init__(name, host)
        self._is_psycopg2 = is_psycopg2
        self._weak = False
        self._xid8 = ""

    def refused_by(self, error: Exception) -> Refused:
        text = " ".join(str(error).split()) or type(error).__name__
        code = self._sqlstate(error)
        if code == "53200":  # all of max_prepared_transactions are in use
            return Refused(text, AbortReason.OVERLOADED)
        if code == "55P03":
            return Refused(text, AbortReason.LOCK_TIMEOUT)
        return Refused(text, retryable=code in _TRANSIENT)

    def _check(self) -> None:
        connection = self.connection
        if connection.closed:
            raise InvalidRequest(f"{self.name}: the connection is closed")
        if self._status() != _IDLE:
            raise InvalidRequest(f"{self.name}: the connection is in a transaction already: commit or roll it back "
                                 "before it is enlisted, so that none of it is taken for a part of this one")
        if connection.autocommit:
            raise InvalidRequest(f"{self.name}: the connection commits each statement by itself: set its autocommit "
                                 "to False before it is enlisted")
        try:
            (standby, slots, commit_mode, *identity), = self._rows(
                "SELECT pg_is_in_recovery(), current_setting('max_prepared_transactions')::int, "
                "current_setting('synchronous_commit'), (pg_control_system()).system_identifier::text, "
                "current_database()::text")
        finally:
            connection.rollback()
        if standby:
            raise InvalidRequest(f"{self.name}: the server is a standby: connect to the primary "
                                 "(target_session_attrs=read-write)")
        if slots == 0:
            raise InvalidRequest(f"{self.name}: the server has prepared transactions switched off: set "
                                 "max_prepared_transactions, to max_connections say, and restart it")
        self._weak = commit_mode in _WEAK
        self.identity = ("postgresql", *identity)

    def _start(self, lock_timeout_s: float) -> None:
        # SET, not set_config(): the application may still choose its isolation level. All of it ends with the
        # transaction, which shows whether that is the same one still when it is to be prepared.
        self._execute(f"SET LOCAL lock_timeout = {max(1, int(lock_timeout_s * 1000))}"
                      + ("; SET LOCAL synchronous_commit = on" if self._weak else "")
                      + f"; SET LOCAL assent.branch = '{self.xid.text}'")

    def _prepare(self) -> int:
        status = _IDLE if self.connection.closed else self._status()
        if self.connection.closed:
            raise Refused("the connection was closed, or lost")
        if status == _IN_ERROR:
            raise Refused(_FAILED)
        if status != _IN_TRANSACTION:
            raise Refused(_ENDED if status == _IDLE else "a statement is still running on the connection")
        branch, self._xid8, system, file, commit_mode = self._look()
        if branch != self.xid.text:
            raise Refused(_ENDED)
        if not self._xid8:  # it has written nothing, nor locked a row
            self.connection.commit()
            return ttypes.Vote.READ_ONLY
        if commit_mode in _WEAK:
            self._execute("SET LOCAL synchronous_commit = on")
        self.state = State.PREPARING
        tag, warnings = self._prepare_transaction()
        if tag != "PREPARE TRANSACTION":
            self.state = State.ACTIVE
            raise Refused(f"PREPARE TRANSACTION was answered with {tag or 'nothing'}: {_FAILED}")
        if warnings:  # prepared here, and perhaps nowhere else: a standby that takes over may not have it
            raise Refused(f"prepared with a warning: {warnings[0]}")
        self.evidence = f"pg {system} {int(file[:8], 16)} {self._xid8}"
        return ttypes.Vote.YES

    def _look(self) -> tuple[str, ...]:
        # Deferred constraints are looked at now, so that nothing but PREPARE itself can warn afterwards.
        self._execute("SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL client_min_messages = warning")
        row, = self._rows(_LOOK)
        return row

    def _prepare_transaction(self) -> tuple[str, list[str]]:
        """The tag, and the warnings: of a wait for a standby that was cut short there is one, SQLSTATE 01000, and
        client_min_messages lets nothing less through."""
        connection = self.connection
        warnings: list[str] = []
        sql = f"PREPARE TRANSACTION '{self.xid.text}'"
        if not self._is_psycopg2:
            def note(diagnostic: Any) -> None:
                warnings.append(str(diagnostic.message_primary))
            connection.add_notice_handler(note)
            try:
                return self._execute(sql), warnings
            finally:
                connection.remove_notice_handler(note)
        before, connection.notices = connection.notices, []
        try:
            tag = self._execute(sql)
            return tag, [" ".join(warning.split()) for warning in connection.notices]
        finally:
            if not connection.closed:
                # It believes that the transaction goes on: the next statement would run, and be committed, alone.
                connection.rollback()
            connection.notices = before

    def _commit(self) -> None:
        try:
            self._alone(f"COMMIT PREPARED '{self.xid.text}'")
        except Exception as error:
            # Ended by somebody else, the coordinator for one: only the status of its transaction says how.
            if self._sqlstate(error) != "42704":
                raise
            (status,), = self._rows(f"SELECT pg_xact_status('{self._xid8}'::xid8)")
            self.connection.rollback()
            if status != "committed":
                raise

    def _roll_back(self) -> None:
        if self.connection.closed:
            raise Refused("the connection was closed, or lost")
        if self.state is not State.PREPARED:
            self.connection.rollback()
        if self.state in (State.PREPARING, State.PREPARED):
            try:
                self._alone(f"ROLLBACK PREPARED '{self.xid.text}'")
            except Exception as error:
                if self.state is State.PREPARED or self._sqlstate(error) != "42704":
                    raise

    def _alone(self, sql: str) -> None:
        """Outside of any transaction."""
        self.connection.autocommit = True
        try:
            self._execute(sql)
        finally:
            if not self.connection.closed:
                self.connection.autocommit = False

    def _status(self) -> int:
        return int(self.connection.info.transaction_status)

    def _sqlstate(self, error: Exception) -> str | None:
        return getattr(error, "pgcode" if self._is_psycopg2 else "sqlstate", None)

    def _cursor(self) -> Any:
        if self._is_psycopg2:
            from psycopg2.extensions import cursor
            return self.connection.cursor(cursor_factory=cursor)
        from psycopg import Cursor
        from psycopg.rows import tuple_row
        return Cursor(self.connection, row_factory=tuple_row)

    def _execute(self, sql: str) -> str:
        """The tag of what is one statement."""
        with self._cursor() as cursor:
            cursor.execute(sql)
            return cursor.statusmessage or ""

    def _rows(self, sql: str) -> list[Any]:
        with self._cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()
