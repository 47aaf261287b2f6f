"""SQLAlchemy's Connections and Sessions as hosts of a branch. The branch runs on the driver's connection below, so that
SQLAlchemy's transaction ends when nothing is left for it to do; its own two-phase commit is not used."""

from __future__ import annotations

from typing import Any

from ._branch import Host
from .errors import InvalidRequest

_FLUSHES_MAX = 100  # a listener may change something in each, as in SQLAlchemy itself


class ConnectionHost(Host):
    def __init__(self, name: str, connection: Any) -> None:
        if connection.closed:
            raise InvalidRequest(f"{name}: the connection is closed")
        self._connection, self._began, self._listening = connection, None, False
        self._name = name
        super().__init__(connection.connection.dbapi_connection)

    def begin(self, name: str) -> None:
        from sqlalchemy import event
        if not self._connection.in_transaction():
            # Otherwise SQLAlchemy 1.4 commits each statement that writes.
            self._began = self._connection.begin()
        event.listen(self._connection, "commit", self._refuse_commit)
        self._listening = True

    def after_end(self, committed: bool) -> None:
        self._let_commit()
        if self._began is not None and self._began.is_active:
            self._finish(self._began, committed)

    def leave(self, is_held: bool) -> bool:
        # SQLAlchemy rolls back what it takes back. MariaDB refuses that for a prepared branch, and the error would
        # hide that the outcome is unknown; to PostgreSQL's connection it is nothing, but the next user has it then.
        self._let_commit()
        if is_held:
            self._discard()
        self._finish(self._owner(), False)
        return True

    def _discard(self) -> None:
        self._connection.invalidate()

    def _owner(self) -> Any:
        """Of SQLAlchemy's transaction."""
        return self._began if self._began is not None else self._connection.get_transaction()

    def _let_commit(self) -> None:
        from sqlalchemy import event
        if self._listening:
            event.remove(self._connection, "commit", self._refuse_commit)
            self._listening = False

    @staticmethod
    def _finish(what: Any, committed: bool) -> None:
        """Of SQLAlchemy's idea of a transaction: the driver's connection is idle."""
        if committed:
            what.commit()
        else:
            what.rollback()

    def _refuse_commit(self, _connection: Any) -> None:
        raise InvalidRequest(f"{self._name} is enlisted: what was done there is committed with its transaction, at the "
                             "end of that; do not commit it alone")


class SessionHost(ConnectionHost):
    def __init__(self, name: str, session: Any) -> None:
        if getattr(session, "twophase", False):
            raise InvalidRequest(f"{name}: the Session has twophase=True: make one without, the transaction does that")
        self._session = session
        super().__init__(name, session.connection())

    def begin(self, name: str) -> None:
        super().begin(name)

    def before_prepare(self) -> None:
        for _ in range(_FLUSHES_MAX):
            self._session.flush()
            if not (self._session.new or self._session.deleted
                    or any(self._session.is_modified(one) for one in self._session.dirty)):
                return

    def after_end(self, committed: bool) -> None:
        self._let_commit()
        self._finish(self._session, committed)

    def _discard(self) -> None:
        self._session.invalidate()

    def _owner(self) -> Any:
        return self._session


def host_of(name: str, given: Any) -> Host | None:
    """None: it is nothing of SQLAlchemy. Raises InvalidRequest."""
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(given).__mro__}
    if not any(kind.startswith("sqlalchemy.") for kind in kinds):
        return None
    if "sqlalchemy.orm.scoping.scoped_session" in kinds:
        given = given()
        return host_of(name, given)
    if "sqlalchemy.orm.session.Session" in kinds:
        return SessionHost(name, given)
    if "sqlalchemy.engine.base.Connection" in kinds:
        return ConnectionHost(name, given)
    raise InvalidRequest(f"{name}: a {type(given).__name__} of SQLAlchemy cannot be enlisted: give a Connection or a "
                         "Session, and no async one")
