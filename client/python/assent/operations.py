"""Operations of a transaction and their results.

Keys and values are bytes; a str is taken as its UTF-8. What is read comes back as bytes. Limits are checked here,
before anything is sent: InvalidRequest says which one, and by how much.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Union

from ._wire import constants, ttypes
from .errors import InvalidRequest

KEY_BYTES_MAX: int = constants.KEY_BYTES_MAX  # a key has at least one
VALUE_BYTES_MAX: int = constants.VALUE_BYTES_MAX
SCAN_ROWS_MAX: int = constants.SCAN_ROWS_MAX  # of one operation; Cluster.scan and Transaction.scan read on

Bytes = Union[bytes, bytearray, memoryview, str]

_KINDS = ttypes.OperationKind
_I64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True)
class Operation:
    """Made by `put`, `get`, `delete`, `add`, `check` and `scan`."""

    kind: int  # OperationKind of thrift/assent.thrift
    key: bytes
    value: bytes | None = None
    delta: int | None = None
    floor: int | None = None
    version: int | None = None
    limit: int | None = None
    after: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key) + len(self.value or b"")

    def to_wire(self) -> ttypes.Operation:
        return ttypes.Operation(kind=self.kind, key=self.key, value=self.value, delta=self.delta, floor=self.floor,
                                version=self.version, limit=self.limit, after=self.after)


@dataclass(frozen=True)
class Row:
    """A key that is there. `version` is for `check(key, version=...)`: it rises with each change of the key, also
    where it was deleted in between; 0 where this transaction itself wrote the value."""

    key: bytes
    value: bytes
    version: int

    @property
    def text(self) -> str:
        """The value as UTF-8."""
        return self.value.decode()


@dataclass(frozen=True)
class OperationResult:
    """Of one operation. get: `row`. scan: `rows`, and `truncated` if there may be more behind the last. add: the sum
    in `number`. Others: nothing."""

    rows: tuple[Row, ...] = ()
    number: int | None = None
    truncated: bool = False

    @property
    def row(self) -> Row | None:
        return self.rows[0] if self.rows else None


def get(key: Bytes) -> Operation:
    """Reads a key."""
    return Operation(_KINDS.GET, _key(key))


def put(key: Bytes, value: Bytes) -> Operation:
    """Writes a key, whether it is there or not."""
    return Operation(_KINDS.PUT, _key(key), value=_value(value))


def delete(key: Bytes) -> Operation:
    """Deletes a key, if it is there."""
    return Operation(_KINDS.REMOVE, _key(key))


def add(key: Bytes, delta: int, min: int | None = None) -> Operation:
    """Adds to the decimal integer that leads the value; an absent key counts as 0. Aborts (BELOW_FLOOR) if the sum
    were less than `min`, and (NOT_A_NUMBER) if the value leads with no integer or the sum does not fit 64 bits."""
    return Operation(_KINDS.ADD, _key(key), delta=_number("delta", delta),
                     floor=None if min is None else _number("min", min))


def check(key: Bytes, *, exists: bool | None = None, value: Bytes | None = None,
          version: int | None = None) -> Operation:
    """Aborts the transaction (CHECK_FAILED) unless the key is as stated. Exactly one of: `exists` true or false,
    `value`, or `version` as a read returned it."""
    if [exists is None, value is None, version is None].count(False) != 1:
        raise InvalidRequest("check: state exactly one of exists=, value= and version=")
    if value is not None:
        return Operation(_KINDS.CHECK_VALUE, _key(key), value=_value(value))
    if version is not None:
        if _number("version", version) < 1:
            raise InvalidRequest(f"version: {version} is none that a read of committed data returned; they are from 1")
        return Operation(_KINDS.CHECK_VERSION, _key(key), version=version)
    return Operation(_KINDS.CHECK_EXISTS if exists else _KINDS.CHECK_ABSENT, _key(key))


def scan(prefix: Bytes, limit: int | None = None, after: Bytes | None = None) -> Operation:
    """The rows whose keys start with `prefix`, which may be empty, in order: at most `limit` (1 to SCAN_ROWS_MAX,
    which is also what None means), and only those behind the key `after`, to go on where one was truncated."""
    if limit is not None and _number("limit", limit) not in range(1, SCAN_ROWS_MAX + 1):
        raise InvalidRequest(f"limit: {limit} is not between 1 and {SCAN_ROWS_MAX}")
    prefix = _bytes("prefix", prefix, KEY_BYTES_MAX)
    if after is not None:
        after = _key(after)
        if not after.startswith(prefix):
            raise InvalidRequest(f"after: {after!r} does not start with the prefix {prefix!r}")
    return Operation(_KINDS.SCAN, prefix, limit=limit, after=after)


def checked(operations: Iterable[Operation]) -> list[Operation]:
    """A list of at least one. Raises InvalidRequest."""
    operations = list(operations)
    if not operations:
        raise InvalidRequest("no operations: give at least one of assent.put, get, delete, add, check, scan")
    for operation in operations:
        if not isinstance(operation, Operation):
            raise InvalidRequest(f"{operation!r} is no operation: make them with assent.put, get, delete, add, check, "
                                 "scan")
    return operations


def results_of(wire: Iterable[ttypes.OperationResult] | None,
               operations: Sequence[Operation]) -> tuple[OperationResult, ...]:
    """As many as `wire` has."""
    return tuple(_result_of(one, operation) for one, operation in zip(wire or (), operations))


def _result_of(wire: ttypes.OperationResult, operation: Operation) -> OperationResult:
    rows = tuple(Row(row.key, row.value, row.version) for row in wire.rows or ())
    return OperationResult(rows, wire.number or 0 if operation.kind == _KINDS.ADD else None, bool(wire.truncated))


def _bytes(what: str, given: Bytes, bytes_max: int) -> bytes:
    if isinstance(given, str):
        try:
            given = given.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"{what}: {given!r} has no UTF-8; give bytes") from error
    elif not isinstance(given, (bytes, bytearray, memoryview)):
        raise InvalidRequest(f"{what}: give bytes or str, not {type(given).__name__} ({given!r:.40})")
    given = bytes(given)
    if len(given) > bytes_max:
        raise InvalidRequest(f"{what}: {len(given):,} bytes are more than {bytes_max:,}")
    return given


def _key(given: Bytes) -> bytes:
    key = _bytes("key", given, KEY_BYTES_MAX)
    if not key:
        raise InvalidRequest("key: it is empty; a key has at least one byte")
    return key


def _value(given: Bytes) -> bytes:
    return _bytes("value", given, VALUE_BYTES_MAX)


def _number(what: str, given: int) -> int:
    if not isinstance(given, int) or isinstance(given, bool):
        raise InvalidRequest(f"{what}: give an int, not {type(given).__name__} ({given!r:.40})")
    if given not in _I64:
        raise InvalidRequest(f"{what}: {given} does not fit 64 bits")
    return given
