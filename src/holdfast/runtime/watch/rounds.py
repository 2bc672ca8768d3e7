"""Rounds: what the journal got is read, and what that touches is run again.

Answers for: how far a look goes, in which snapshots queries are run and on whose terms;
whose an error is.
Leaves to others: when a round is due (`feeding`), what it touches and whom its outcomes
are told (`runs`), what a query is (`queries`).
Always holds: an outcome is of one snapshot, whose newest change it names; each owner's
queries see that owner's rows; what fails together is run one by one.

A round runs queries for some 10 ms; what is left is run in the next one.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from holdfast.core import Core
from holdfast.engine import Terms, Transaction
from holdfast.errors import Closed, TimedOut
from holdfast.passing import PASSING
from holdfast.runtime.watch.queries import Answers, Outcome, Query, failed, foresee
from holdfast.runtime.watch.runs import Run, Runs
from holdfast.runtime.watch.touching import Key

_EVERYONE = Terms(every_owner=True)
_SLICE_SECONDS = 0.01
"""How long queries are run in one round, before who watches them is told."""
_AGAIN_SECONDS = 0.05
_TRIES = 3
"""How often a query may fail as if the store were away, before it is its own error."""
_TOGETHER = 100
"""How many records are read together."""
_PAGE = 1_000
_MANY = 20_000
"""Changes at once from which on it is quicker to run every query than to look."""


class Rounds:
    """Runs what is watched in one open store."""

    def __init__(self, core: Core, runs: Runs) -> None:
        self.count = 0
        """How often a query was run."""
        self._core = core
        self._runs = runs

    def first(self, query: Query) -> Callable[[Transaction], Outcome]:
        """What gives a query's outcome now; that of its run, if nothing came since.

        It raises what the query does.
        """

        def now(tx: Transaction) -> Outcome:
            (head,) = tx.one("journal_last") or (0,)
            outcome = self._runs.known(query, head or 0)
            if outcome is None:
                outcome = self._ran(query, tx, head or 0, {})
            outcome.given()  # before the transaction ends, which may be broken
            return outcome

        return now

    def look(self, *, untold: bool) -> None:
        """Look at what the journal got, and run what that touches.

        Run too what depends on what the journal does not tell of, if that is due.
        """
        began = time.monotonic()
        self._runs.begin()
        unit = self._core.unit(self._news_in, _EVERYONE)
        place, keys = self._core.engine.read(unit)
        self._runs.looked(place, keys, untold=untold)
        until = began + _SLICE_SECONDS
        for terms, runs in _by_terms(self._runs.due(began)):
            self._run_all(terms, runs, until)
            if time.monotonic() > until:
                break

    def _news_in(self, tx: Transaction) -> tuple[int, dict[Key, int] | None]:
        """How far the journal goes, and the keys of what came; None for all of them."""
        began = place = self._runs.place
        keys: dict[Key, int] = {}
        while rows := tx.all("journal_page", after=place, owner=None, limit=_PAGE):
            if rows[0][0] != place + 1 or place - began >= _MANY:
                (place,) = tx.one("journal_last") or (0,)
                return place, None  # what is between was trimmed, or is too much
            keys |= self._runs.keys_of(tx, rows)
            place = rows[-1][0]
            if len(rows) < _PAGE:
                break
        return place, keys

    def _run_all(self, terms: Terms, runs: Sequence[Run], until: float) -> None:
        """Run queries that are on the same terms, in one snapshot if they can."""
        if len(runs) == 1:
            self._run_alone(terms, runs[0])
            return
        unit = self._core.unit(lambda tx: self._run_in(tx, runs, until), terms)
        try:
            found = self._core.engine.read(unit)
        except Closed:
            raise
        except Exception:  # one of them failed for all: which one, is found out
            for run in runs:
                self._run_alone(terms, run)
                if time.monotonic() > until:
                    return
        else:
            self._runs.settle(found)

    def _run_in(
        self, tx: Transaction, runs: Sequence[Run], until: float
    ) -> list[tuple[Run, Outcome]]:
        """In one snapshot: run queries until it is time to tell. May be done twice."""
        outcomes: list[tuple[Run, Outcome]] = []
        head, foreseen = self._head(tx), dict[Any, Any]()
        for number, run in enumerate(runs):
            if number and time.monotonic() > until:
                break
            if number % _TOGETHER == 0:
                some = runs[number : number + _TOGETHER]
                foreseen = dict(foresee(tx, (one.outcome for one in some)))
            outcomes.append((run, self._ran(run.query, tx, head, foreseen)))
        return outcomes

    def _run_alone(self, terms: Terms, run: Run) -> None:
        """Run one query in a snapshot of its own; what fails there is its own error."""
        raised: list[BaseException] = []

        def work(tx: Transaction) -> Outcome:
            raised.clear()
            try:
                outcome = self._ran(run.query, tx, self._head(tx), {})
            except PASSING as error:
                raised.append(error)
                raise
            if outcome.error is not None:
                raised.append(outcome.error)
            return outcome

        try:
            outcome = self._core.engine.read(self._core.unit(work, terms))
        except Exception as error:
            if not raised:
                raise  # the store is away, whatever is asked
            if _may_pass(error) and _is_tried_again(run):
                return
            outcome = failed(raised[0], run.outcome, self._runs.place)
        self._runs.settle([(run, outcome)])

    def _ran(
        self, query: Query, tx: Transaction, head: int, foreseen: Answers
    ) -> Outcome:
        self.count += 1
        return query.run(tx, head, foreseen)

    def _head(self, tx: Transaction) -> int:
        """How far the journal goes, at least, in a snapshot."""
        (head,) = tx.one("journal_last") or (0,)
        return max(self._runs.place, head or 0)


def _may_pass(error: Exception) -> bool:
    """Whether a query failed as if the store were away for a while."""
    return isinstance(error, PASSING) and not isinstance(error, TimedOut)


def _is_tried_again(run: Run) -> bool:
    """Have a run that failed tried again after a while, unless it was often enough."""
    run.failures += 1
    run.again_at = time.monotonic() + _AGAIN_SECONDS * run.failures
    return run.failures < _TRIES


def _by_terms(runs: Iterable[Run]) -> Iterable[tuple[Terms, list[Run]]]:
    """Runs, by whose rows they may see."""
    found: dict[tuple[str, bool], list[Run]] = {}
    for run in runs:
        terms = run.query.terms
        found.setdefault((terms.owner, terms.every_owner), []).append(run)
    for (owner, every), those in found.items():
        yield Terms(owner=owner, every_owner=every), those
