"""Assent from Python: transactions over the shards of an Assent cluster.

    with assent.connect("127.0.0.1:7401,127.0.0.1:7402") as cluster:
        cluster.execute([assent.add("accounts/alice", -10, min=0), assent.add("accounts/bob", 10)])
        with cluster.transaction() as tx:
            row = tx.get("accounts/alice")
            tx.put("seen", row.value)

A call returns once its transaction is committed. Otherwise it raises Aborted, which says that it surely had no effect,
OutcomeUnknown, which has the token to ask with later, or another Error, after which nothing was done.
"""

from ._commit import CommitResult
from .cluster import Cluster, connect
from .errors import (Aborted, AbortReason, Error, Heuristic, HeuristicBranch, HeuristicKind, InvalidRequest,
                     OutcomeUnknown, TokenRefused, Unavailable, UnfinishedWarning, WrongCluster)
from .operations import (KEY_BYTES_MAX, SCAN_ROWS_MAX, VALUE_BYTES_MAX, Operation, OperationResult, Row, add, check,
                         delete, get, put, scan)
from .tokens import Token
from .transaction import Transaction

__all__ = ["KEY_BYTES_MAX", "SCAN_ROWS_MAX", "VALUE_BYTES_MAX", "AbortReason", "Aborted", "Cluster", "CommitResult",
           "Error", "Heuristic", "HeuristicBranch", "HeuristicKind", "InvalidRequest", "Operation", "OperationResult",
           "OutcomeUnknown", "Row", "Token", "TokenRefused", "Transaction", "Unavailable", "UnfinishedWarning",
           "WrongCluster", "add", "check", "connect", "delete", "get", "put", "scan"]
