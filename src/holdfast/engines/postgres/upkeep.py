"""Upkeep: what a store on PostgreSQL needs done now and then.

Answers for: deleting receipts that nobody can ask for any more, and having new tables
analysed before the server thinks of it, which may be after a minute of wrong plans.
Leaves to others: when nobody is kept waiting by it (engine).
"""

from holdfast.clock import uuid7
from holdfast.engine import Transaction, Work
from holdfast.engines.postgres.transaction import PostgresTransaction

_ANALYSED_AFTER = (200, 2_000, 20_000)
"""Receipts of one process, after which the tables are analysed, while they are new:
by the last of these, the server's own autovacuum has come by."""
_SWEPT_EVERY = 1_000
_RECEIPTS_KEPT_US = 3_600 * 1_000_000
"""An hour: far longer than anybody tries to find out about a commit."""
_NEW = (
    "select string_agg(format('%I', relname), ', ') from pg_stat_user_tables "
    "where schemaname = current_schema() and last_autoanalyze is null "
    "and relname not like 'was\\_%'"
)


class Upkeep:
    """Counts receipts, and says what is due."""

    def __init__(self) -> None:
        self._seen = 0
        self._unswept = 0
        self._analysed = 0

    def due(self, receipts: int) -> list[Work[None]]:
        """What is to be done, now that so many more receipts were left."""
        self._seen += receipts
        self._unswept += receipts
        chores: list[Work[None]] = []
        for after in _ANALYSED_AFTER[self._analysed :]:
            if self._seen >= after:
                self._analysed += 1
                chores = [_analyse]
        if self._unswept >= _SWEPT_EVERY:
            self._unswept = 0
            chores.append(_sweep)
        return chores


def _analyse(tx: Transaction) -> None:
    """Have the tables analysed that the server has not come to yet."""
    assert isinstance(tx, PostgresTransaction)
    ((names,),) = tx.ask(_NEW)
    if names:
        tx.ask(f"analyze {names}")


def _sweep(tx: Transaction) -> None:
    """Delete receipts that are too old for anybody to ask for."""
    before = uuid7(tx.now - _RECEIPTS_KEPT_US, 0)
    tx.put("receipt_sweep", before=before, limit=2 * _SWEPT_EVERY)
