"""Django's databases in a transaction of Assent. For Django 3.2 and later, over psycopg2 and mysqlclient.

    with assent.django.atomic(cluster, using={"default": "orders", "billing": "billing"}) as tx:
        Order.objects.create(...)
        Invoice.objects.using("billing").create(...)
        tx.add("orders/today", 1)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

from django.db import connections
from django.db.transaction import atomic as django_atomic

from .cluster import Cluster
from .errors import Aborted, AbortReason
from .transaction import Transaction


@contextlib.contextmanager
def atomic(cluster: Cluster, using: str | Iterable[str] | Mapping[str, str] = "default", *,
           timeout: float | None = None) -> Iterator[Transaction]:
    """All that is done in the block, at the databases `using` and on the shards through the transaction that it gives:
    committed at its end, or rolled back.

    using:   aliases of DATABASES; a mapping says what each is called as a resource manager, if not as its alias
    timeout: as of Cluster.transaction

    The block is Django's own atomic(durable=True) of each of the databases, around the transaction: `atomic` inside of
    it is a savepoint, `on_commit` runs after the commit, and it must be the outermost one. Raises as
    Transaction.commit, RuntimeError inside of another atomic, and what the block raises."""
    names = using if isinstance(using, Mapping) else {alias: alias for alias in _aliases(using)}
    with contextlib.ExitStack() as stack:
        for alias in names:
            stack.enter_context(django_atomic(using=alias, durable=True))
        tx = stack.enter_context(cluster.transaction(timeout=timeout))
        for alias, name in names.items():
            connections[alias].ensure_connection()
            tx.enlist(name, connections[alias].connection)
        yield tx
        for alias, name in names.items():
            if connections[alias].needs_rollback:  # Django would roll back without a word
                raise Aborted(AbortReason.FOREIGN_REFUSED,
                              f"{name}: an atomic block of {alias} failed, and the error was not passed on", tx.id)


def _aliases(using: str | Iterable[str]) -> list[str]:
    return [using] if isinstance(using, str) else list(using)
