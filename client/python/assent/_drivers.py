"""Which driver a connection is one of. No driver is imported here that the application has not imported."""

from __future__ import annotations

from typing import Any

from . import _sqlalchemy
from ._branch import Branch, Host
from ._mariadb import MariaDbBranch
from ._postgresql import PostgreSqlBranch
from .errors import InvalidRequest

_TAKEN = ("give a connection of psycopg2, psycopg (3), PyMySQL or MySQLdb, or a Connection or Session of SQLAlchemy "
          "over one of these")


def branch_of(name: str, given: Any) -> Branch:
    """Raises InvalidRequest."""
    host = _sqlalchemy.host_of(name, given) or Host(given)
    connection = host.connection
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(connection).__mro__}
    if "psycopg2.extensions.connection" in kinds:
        if connection.async_:
            raise InvalidRequest(f"{name}: the connection is asynchronous: {_TAKEN}")
        return PostgreSqlBranch(name, host, is_psycopg2=True)
    if "psycopg.Connection" in kinds or "psycopg.connection.Connection" in kinds:
        return PostgreSqlBranch(name, host, is_psycopg2=False)
    if "pymysql.connections.Connection" in kinds:
        return MariaDbBranch(name, host, is_pymysql=True)
    if "MySQLdb.connections.Connection" in kinds:
        return MariaDbBranch(name, host, is_pymysql=False)
    raise InvalidRequest(f"{name}: {type(connection).__module__}.{type(connection).__qualname__} cannot be enlisted: "
                         f"{_TAKEN}")
