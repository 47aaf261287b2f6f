"""A branch of a transaction at a database: the work on one enlisted connection, from its first statement to its end.
What is the same for every database; the rest is in _postgresql.py and _mariadb.py."""

from __future__ import annotations

import enum
import re
from typing import Any

from ._wire import ttypes
from .errors import Aborted, AbortReason, InvalidRequest

_XID_TEXT = re.compile(r"[0-9A-Za-z+/=_]{1,199}")  # 199: PREPARE TRANSACTION refuses longer ones


class State(enum.Enum):
    NEW = 1
    ACTIVE = 2  # it has a transaction, with what the application did
    PREPARING = 3  # asked to prepare, not answered: perhaps it is prepared
    PREPARED = 4
    OVER = 5  # surely nothing is left of it: committed, rolled back, or without any change
    LEFT = 6  # where it stands is not known here, or it could not be ended here: the coordinator does


class Refused(Exception):
    """The branch cannot vote yes. `reason` and `retryable` are for Aborted."""

    def __init__(self, text: str, reason: AbortReason = AbortReason.FOREIGN_REFUSED,
                 retryable: bool | None = None) -> None:
        super().__init__(text)
        self.reason, self.retryable = reason, retryable

    def to_aborted(self, name: str, txn: str) -> Aborted:
        return Aborted(self.reason, f"{name}: {self}", txn, self.retryable)


class Host:
    """Around the driver's connection: nothing. A subclass is SQLAlchemy, which must not notice what happens below."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection  # the driver's

    def begin(self, name: str) -> None:
        """Raises InvalidRequest."""

    def before_prepare(self) -> None:
        """Whatever it raises is a no."""

    def after_end(self, committed: bool) -> None:
        """The driver's connection is idle again, or lost."""

    def leave(self, is_held: bool) -> bool:
        """The branch stays prepared, its outcome unknown; `is_held`: by the driver's connection, which can do nothing
        else, and which nobody else can end it before it closes. Whether it is let go of, for the coordinator to end."""
        return False


class Branch:
    """One thread at a time, which need not be the one that made the connection. A subclass has the rest."""

    kind = ""  # of the resource manager, as the cluster's configuration has it
    is_held = False  # once prepared, by its connection (Host.leave)

    def __init__(self, name: str, host: Host) -> None:
        self.name, self.host, self.connection = name, host, host.connection
        self.identity: tuple[object, ...] = ()  # of the database, after `check`
        self.state = State.NEW
        self.number = 0
        self.xid: Any = None  # ttypes.Xid, from `start` on
        self.vote: int | None = None
        self.holder: str | None = None
        self.evidence: str | None = None
        self.trouble = ""  # why it is LEFT

    def check(self) -> None:
        """Whether it can be enlisted: idle, and at a database that can prepare. Raises InvalidRequest."""
        try:
            self._check()
        except InvalidRequest:
            raise
        except Exception as error:  # whatever the driver raises
            raise InvalidRequest(f"{self.name}: the connection is not usable: {text_of(error)}") from error

    def start(self, enlisted: ttypes.Enlisted, lock_timeout_s: float) -> None:
        """Raises InvalidRequest; the branch is over then."""
        if enlisted.kind != self.kind:
            raise InvalidRequest(f"{self.name} is configured as kind {enlisted.kind!r}, and the connection is one to "
                                 f"{self.kind}: give the one of that resource manager")
        self.number, self.xid = enlisted.branch, enlisted.xid
        if not self.number or self.xid is None or not _XID_TEXT.fullmatch(self.xid.text or ""):
            raise InvalidRequest(f"{self.name}: the cluster gave no xid")
        try:
            self._start(lock_timeout_s)
            self.host.begin(self.name)
        except InvalidRequest:
            self.roll_back()
            raise
        except Exception as error:
            self.roll_back()
            raise InvalidRequest(f"{self.name}: no branch could be begun: {text_of(error)}") from error
        self.state = State.ACTIVE

    def prepare(self) -> None:
        """Sets `vote`: YES, the branch is prepared, or READ_ONLY, it has ended. Raises Refused, after which it is to
        be rolled back."""
        try:
            self.host.before_prepare()
            self.vote = self._prepare()
        except Refused:
            raise
        except Exception as error:
            raise self.refused_by(error) from error
        self.state = State.PREPARED if self.vote == ttypes.Vote.YES else State.OVER

    def commit(self) -> None:
        """Of a prepared one, as was decided. Never raises: LEFT where it did not work."""
        self._end(True)

    def roll_back(self) -> None:
        """In whatever state. Never raises: LEFT where it is not known to have worked."""
        if self.state is not State.OVER or self.vote != ttypes.Vote.READ_ONLY:
            self._end(False)

    def settle(self, committed: bool) -> None:
        """The thread of the application has the connection again."""
        try:
            self.host.after_end(committed)
        except Exception as error:  # the branch has ended, whatever the framework thinks of it
            self.trouble = self.trouble or f"afterwards: {text_of(error)}"

    def leave(self) -> None:
        """The outcome of a prepared one is unknown. Never raises."""
        if self.state is State.PREPARED:
            try:
                left = self.host.leave(self.is_held)
            except Exception:
                left = True
            if left:
                self.state = State.LEFT
                self.trouble = "its connection was given back while the outcome was unknown"
                self._release()

    def to_wire(self) -> ttypes.ForeignWork:
        return ttypes.ForeignWork(resource_manager=self.name, payload=b"", voted=self.vote, branch=self.number,
                                  holder=self.holder, evidence=self.evidence)

    def refused_by(self, error: Exception) -> Refused:
        """What a driver raised, as a no."""
        raise NotImplementedError

    def _end(self, commit: bool) -> None:
        if self.state in (State.OVER, State.LEFT):
            return
        try:
            if commit:
                self._commit()
            else:
                self._roll_back()
            self.state = State.OVER
        except Exception as error:
            self.state, self.trouble = State.LEFT, text_of(error)
        self._release()

    def _check(self) -> None:
        raise NotImplementedError

    def _start(self, lock_timeout_s: float) -> None:
        raise NotImplementedError

    def _prepare(self) -> int:
        raise NotImplementedError

    def _commit(self) -> None:
        raise NotImplementedError

    def _roll_back(self) -> None:
        raise NotImplementedError

    def _release(self) -> None:
        """Makes the connection what it was before `start`. Never raises."""


def text_of(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
