"""Upkeep: what a store on PostgreSQL needs done now and then.

Answers for: deleting receipts that nobody can ask for any more, and having new tables
analysed before the server thinks of it, which may be after a minute of wrong plans.
Leaves to others: when nobody is kept waiting by it (engine).
"""

from holdfast.clock import uuid7
from holdfast.engine import Transaction, Work
from holdfast.engines.postgres.transaction import PostgresTransaction

_ANALYSED_AFTER = 200
_SWEPT_EVERY = 1_000
_RECEIPTS_KEPT_US = 3_600 * 1_000_000
"""An hour: far longer than anybody tries to find out about a commit."""
_NEW = (
    "select string_agg(format('%I', relname), ', ') from pg_stat_user_tables "
    "where schemaname = current_schema() and n_live_tup > 0 "
    "and last_analyze is null and last_autoanalyze is null"
)


class Upkeep:
    """Counts receipts, and says what is due."""

    def __init__(self) -> None:
        self._unswept = 0
        self._analysed = False

    def due(self, receipts: int) -> list[Work[None]]:
        """What is to be done, now that so many more receipts were left."""
        self._unswept += receipts
        chores: list[Work[None]] = []
        if self._unswept >= _ANALYSED_AFTER and not self._analysed:
            self._analysed = True
            chores.append(_analyse)
        if self._unswept >= _SWEPT_EVERY:
            self._unswept = 0
            chores.append(_sweep)
        return chores


def _analyse(tx: Transaction) -> None:
    """Have the tables analysed that never were; those of others are left out."""
    assert isinstance(tx, PostgresTransaction)
    ((names,),) = tx.ask(_NEW)
    if names:
        tx.ask(f"analyze {names}")


def _sweep(tx: Transaction) -> None:
    """Delete receipts that are too old for anybody to ask for."""
    before = uuid7(tx.now - _RECEIPTS_KEPT_US, 0)
    tx.put("receipt_sweep", before=before, limit=2 * _SWEPT_EVERY)
