"""Commit: one transaction on the server, from its beginning to a known end.

Answers for: begin, what a transaction sets for itself, receipts, commit, and finding
out about a commit whose answer was lost.
Leaves to others: what is run in it, and again (units), the journal (triggers, `ddl`).
Always holds: `commit` returns only if the commit is there, and raises only if it never
will be, or if nobody can say (`OutcomeUnknown`).
"""

from contextlib import suppress

import psycopg

from holdfast.clock import token
from holdfast.engine import Tellings, Terms, Witness
from holdfast.engines.postgres import failures
from holdfast.engines.postgres.failures import Patience, is_gone
from holdfast.engines.postgres.links import Links
from holdfast.engines.postgres.target import Target
from holdfast.engines.postgres.transaction import PostgresTransaction, Shared
from holdfast.engines.postgres.wire import Bound, Link, Lost, Wire, plain
from holdfast.errors import Refused
from holdfast.schema import format as formats

LOCK_SECONDS = 10.0
"""How long a record that somebody keeps is waited for."""
WRITING = plain("begin isolation level read committed read write")
READING = plain("begin isolation level repeatable read read only")
_OWNER = plain(
    "select set_config('holdfast.owner', $1, true), "
    "set_config('holdfast.every_owner', $2, true)"
)
_COMMIT = plain("commit")
_ROLLBACK = plain("rollback")
_LOCKS_LONG = plain("select set_config('lock_timeout', $1, true)")
_IDLE = "idle_in_transaction_session_timeout"
_VOID = 0
"""The format that a receipt says which was put there so that no commit can follow."""


class Settings:
    """What every transaction sets for itself: a pooler keeps nothing for us."""

    def __init__(self, target: Target) -> None:
        names = ["search_path", "lock_timeout", "statement_timeout", _IDLE]
        self._schema = target.schema.encode()
        self._statement_seconds = target.statement_timeout_seconds
        self.reading = plain(
            "select "
            + ", ".join(
                f"set_config('{n}', ${i}, true)" for i, n in enumerate(names, 1)
            )
        )
        more = [f"{target.schema}.admits({formats.VERSION})"]
        if target.synchronous_commit:
            wanted = f"'synchronous_commit', '{target.synchronous_commit}'"
            more.append(f"set_config({wanted}, true)")
        self.writing = plain(", ".join([self.reading.text.decode(), *more]))

    def values(self, lock_seconds: float, body_seconds: float = 0) -> list[bytes]:
        """The values for one transaction; of a body, with the time that it has.

        The server itself ends one that takes longer, and frees what it has locked.
        """
        limits = self._statement_seconds, body_seconds
        statement = min(filter(None, limits), default=0)
        if body_seconds:  # of two that wait for each other, one is to have time left
            lock_seconds = min(lock_seconds, body_seconds / 2)
        in_order = lock_seconds, statement, body_seconds
        return [self._schema, *(b"%d" % round(value * 1000) for value in in_order)]


class Committer:
    """Begins and ends transactions, one at a time, on a connection from the pool."""

    def __init__(
        self,
        links: Links,
        target: Target,
        shared: Shared,
        body_seconds: float = 0,
        witness: Witness | None = None,
    ) -> None:
        self.patient = True
        """Whether a server that is away is waited for, and not only looked for."""
        self._body_seconds = body_seconds
        self._witness = witness
        self._links = links
        self._target = target
        self._shared = shared
        self._settings = Settings(target)
        self._receipt = shared.statements["receipt_add"]
        self._link: Link | None = None
        self._open = False
        self._lock_seconds = LOCK_SECONDS
        self.tokens: list[str] = []
        """Receipts that the open transaction leaves."""
        self.tellings: Tellings = []
        """What the open transaction tells."""
        self.held: set[int] = set()
        """Locks that the open transaction has."""
        self.untidy = False
        self.receipts = 0
        """How many receipts were left since somebody asked."""

    # One transaction.

    def begin(self, lock_seconds: float = LOCK_SECONDS, what: Bound = WRITING) -> None:
        """Begin a transaction; this is sent with its first statement."""
        if self._link is None:
            self._link = self._links.take(patient=self.patient)
        self.tokens.clear()
        self.tellings.clear()
        self.held.clear()
        self._open = True
        self._lock_seconds = lock_seconds
        wire = self._link.wire
        wire.rests = self._body_seconds > 0
        wire.send(what)
        settings = self._settings
        text = settings.writing if what is WRITING else settings.reading
        wire.send(text, settings.values(lock_seconds, self._body_seconds))

    def transaction(
        self, terms: Terms, now: int, chance: int, *, reads: bool = False
    ) -> PostgresTransaction:
        """What a unit that runs now works through."""
        self.say_owner(terms)
        return PostgresTransaction(
            self.wire,
            self._shared,
            terms,
            now,
            chance,
            self.held,
            reads=reads,
            tellings=self.tellings,
        )

    def say_owner(self, terms: Terms) -> None:
        """Let row-level security, where it is on, know whose rows are meant."""
        if self._target.row_security:
            every = b"on" if terms.every_owner else b"off"
            self.wire.send(_OWNER, [terms.owner.encode(), every])

    def stamp(self, tx: PostgresTransaction) -> None:
        """Close a unit's moment: leave its receipt, which says when, who and why."""
        if tx.left_untidy:
            self.untidy = True
        if tx.wrote and not tx.terms.beside:
            self.receipts += 1
            self.tokens.append(token(tx.now))
            said = {"at": tx.now, "actor": tx.terms.actor, "cause": tx.terms.cause}
            said |= {"id": self.tokens[-1], "format": formats.VERSION}
            self.wire.send(self._receipt, self._receipt.in_order(said))

    def commit(self) -> None:
        """Commit; raises if it certainly did not, or if nobody can say."""
        told, changed = list(self.tellings), bool(self.tokens)
        self._commit()
        if self._witness is not None and (changed or told):
            self._witness.committed(told)

    def _commit(self) -> None:
        tokens = list(self.tokens)
        try:
            if self._lock_seconds < LOCK_SECONDS:  # the journal's turn is waited for
                self.wire.send(_LOCKS_LONG, [b"%d" % round(LOCK_SECONDS * 1000)])
            tag = self.wire.finish(_COMMIT)
        except (psycopg.Error, Lost) as error:
            if not is_gone(error) or not tokens:
                raise
            self.discard()
            if self._is_there(tokens[0]):
                return
            raise Lost("the connection was lost before the commit") from error
        self._open = False
        if tag != b"COMMIT":
            raise Refused(
                "a statement of this transaction had failed, so that all of it was "
                "rolled back: let what may fail run in a savepoint (tx.savepoint())"
            )

    def rollback(self) -> None:
        """Undo all of it; what was lost on the way is rolled back by the server."""
        if self._link is None or not self._open:
            return
        self._open = False
        if not self._link.wire.lost:
            with suppress(psycopg.Error, Lost):
                self._link.wire.recover()
                self._link.wire.finish(_ROLLBACK)
        if self._link.wire.lost:
            self.discard()

    def let_go(self) -> None:
        """Let others have the connection."""
        link, self._link = self._link, None
        if link is not None:
            self._links.give_back(link)

    def translated(self, error: BaseException) -> BaseException:
        """Holdfast's error for one of PostgreSQL's, with which something ends."""
        found = failures.translated(error, self._shared.place)
        if self._witness is not None:
            self._witness.failed(found)
        return found

    # What became of a commit.

    def _is_there(self, id: str) -> bool:
        """Whether the commit that leaves this receipt is there; if not, it never will.

        The place of the receipt is taken: a commit that is still on its way would find
        it taken, and fail. One that is being made is waited for.
        """
        seconds = self._links.seconds(patient=self.patient)
        patience = Patience(seconds)
        said = {"id": id, "at": 0, "actor": None, "cause": None, "format": _VOID}
        find = self._shared.statements["receipt_find"]
        take = self._shared.statements["receipt_take"]
        while True:
            try:
                self.begin(seconds)
                self.wire.send(take, take.in_order(said))
                found = self.wire.ask(find, find.in_order({"id": id}))
                ((form,),) = self.wire.rows(found)
                self.wire.finish(_COMMIT)
            except BaseException as error:
                self.rollback()
                if not patience.asks_again(error):
                    raise failures.unknown(self._shared.place, seconds) from error
            else:
                self._open = False
                return bool(form != _VOID)

    @property
    def wire(self) -> Wire:
        """What the open transaction is sent on."""
        assert self._link is not None
        return self._link.wire

    def discard(self) -> None:
        """Have done with a connection: the server rolls back what is open on it."""
        self._open = False
        link, self._link = self._link, None
        if link is not None:
            self._shared.numbers.forget()
            link.wire.drop()
            self._links.give_back(link)
