"""The commit of a transaction with branches at databases: asks the coordinator, and ends the branches as it says."""

from __future__ import annotations

import dataclasses
import threading
import warnings
from collections.abc import Callable

from ._branch import Branch
from ._commit import Commit, CommitResult
from ._enlisted import Enlisted
from ._wire import ttypes
from .errors import Aborted, Error, Heuristic, OutcomeUnknown, UnfinishedWarning

_LEFT = ("the branches of {names} stay prepared, with their locks: the cluster ends them as it was decided, or commit() "
         "of this transaction does, called again. Do not end them by hand. A connection to MariaDB holds its branch: "
         "close it, unless you ask again")


class CommitWithBranches:
    """As Commit. Nothing is told to a database before the outcome is known."""

    def __init__(self, commit: Commit, enlisted: Enlisted, tell: Callable[[Branch, int], None],
                 give_up: Callable[[], None]) -> None:
        """`tell` a branch's end to the coordinator; `give_up` the transaction there, where the commit was refused."""
        self._commit, self._enlisted, self._tell, self._give_up = commit, enlisted, tell, give_up
        self._lock = threading.Lock()
        self._ended: CommitResult | Error | None = None

    @property
    def end(self) -> CommitResult | Error | None:
        return self._ended

    def ask(self, deadline: float) -> CommitResult:
        """As Commit.ask. Raises Heuristic as well. Warns of branches that it could not commit."""
        with self._lock:
            if self._ended is None:
                self._ended = self._find_out(deadline)
            if isinstance(self._ended, Error):
                raise self._ended
            return self._ended

    def _find_out(self, deadline: float) -> CommitResult | Error:
        try:
            result = self._commit.ask(deadline)
        except OutcomeUnknown as unknown:
            prepared = self._enlisted.prepared()
            self._enlisted.leave()
            if not prepared:
                raise
            detail = f"{unknown.detail}; " if unknown.detail else ""
            raise OutcomeUnknown(unknown.token, detail + _LEFT.format(names=", ".join(prepared)),
                                 unknown.final) from unknown
        except Error as error:  # for good: it is not, and never will be, committed
            self._enlisted.roll_back()
            if not isinstance(error, Aborted):
                self._give_up()
            for branch in self._enlisted.rolled_back():
                self._tell(branch, ttypes.Decision.ABORT)
            return error
        except BaseException:  # an interrupt
            self._enlisted.leave()
            raise
        unfinished = self._enlisted.commit(lambda branch: self._tell(branch, ttypes.Decision.COMMIT))
        for name, why in unfinished.items():
            warnings.warn(f"committed {result.txn}; the coordinator still has to commit {name}: {why}",
                          UnfinishedWarning, stacklevel=5)
        result = dataclasses.replace(result, unfinished=unfinished)
        return Heuristic(result) if result.heuristics else result
