"""Broken engines: each breaks one promise of the contract, and is right otherwise.

`noticed_by` names the tests of `holdfast.testing` that must fail on it, `engine` what
is behind it.
"""

import contextlib
import threading
import time

import msgspec

from holdfast.clock import ManualClock
from holdfast.engine import Report, Terms, Transaction, answer
from holdfast.engines.postgres.engine import PostgresEngine
from holdfast.engines.sqlite.engine import SqliteEngine
from holdfast.errors import Closed, Refused


class Wrapped:
    """Something, with another thing behind it that does whatever is not done here."""

    def __init__(self, inner):
        object.__setattr__(self, "inner", inner)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def __setattr__(self, name, value):
        setattr(self.inner, name, value)


class Broken(Wrapped):
    """An engine whose units and bodies can be spoiled at once, by `spoil`."""

    engine = "file"

    def __init__(self, rest, parts, options):
        made = PostgresEngine if self.engine == "postgres" else SqliteEngine
        super().__init__(made(rest, parts, self.chosen(options)))

    def chosen(self, options):
        return options

    def spoil(self, tx):
        return tx

    def write(self, unit):
        return self.inner.write(self.spoiled(unit))

    def post(self, unit):
        self.inner.post(self.spoiled(unit))

    def spoiled(self, unit):
        work = unit.work
        unit.work = lambda tx: work(self.spoil(tx))
        return unit

    @contextlib.contextmanager
    def borrow(self, terms, seconds):
        with self.inner.borrow(terms, seconds) as tx:
            yield self.spoil(tx)

    def really_close(self):
        self.inner.close()


class AnswersBeforeTheCommit(Broken):
    noticed_by = ("test_nobody_is_answered_before_the_commit",)

    def post(self, unit):
        work = unit.work

        def early(tx):
            unit.result = work(tx)
            answer([unit])
            return unit.result

        unit.work = early
        self.inner.post(unit)


class ForgetsToRollBackAUnit(Broken):
    noticed_by = (
        "test_a_unit_that_fails_leaves_nothing_and_raises_what_it_raised",
        "test_what_was_undone_leaves_no_change_and_no_gap",
    )

    def write(self, unit):
        work, failed = unit.work, []

        def kept(tx):
            try:
                return work(tx)
            except BaseException as error:
                failed.append(error)

        unit.work = kept
        result = self.inner.write(unit)
        if failed:
            raise failed[0]
        return result


class ForgetsToRollBackABody(Broken):
    noticed_by = ("test_a_body_that_raises_leaves_nothing",)

    @contextlib.contextmanager
    def borrow(self, terms, seconds):
        failed = None
        with self.inner.borrow(terms, seconds) as tx:
            try:
                yield tx
            except BaseException as error:
                failed = error
        if failed:
            raise failed


class GivesANumberTwice(Broken):
    noticed_by = ("test_each_row_gets_a_number_of_its_own",)

    def spoil(self, tx):
        class Repeating(Wrapped):
            def new_no(self):
                self.inner.new_no()
                return 7

        return Repeating(tx)


class LetsTimeGoBack(Broken):
    noticed_by = ("test_time_never_goes_backwards",)

    def __init__(self, rest, parts, options):
        super().__init__(rest, parts, options)
        committer = self.inner._committer
        look_back = committer._look_back

        def look():
            look_back()
            committer._at = 0

        committer._look_back = look


class LosesTheSecondWakeUp(Broken):
    noticed_by = (
        "test_a_watcher_is_woken_after_every_way_to_commit",
        "test_a_watcher_is_woken_by_another_engine_too",
    )

    def watch(self, wake):
        woken = []

        def once():
            if not woken:
                woken.append(True)
                wake()

        return self.inner.watch(once)


class StopsEveryWatcher(Broken):
    noticed_by = ("test_every_watcher_is_woken_until_it_stops",)

    def watch(self, wake):
        stops = self.__dict__.setdefault("stops", [])
        stops.append(self.inner.watch(wake))
        return lambda: [stop() for stop in stops]


class ReadsWithoutASnapshot(Broken):
    noticed_by = ("test_a_read_is_of_one_snapshot",)

    def read(self, unit):
        engine = self.inner

        class Torn(Wrapped):
            def all(self, name, **values):
                again = type(unit)(
                    lambda tx: tx.all(name, **values), unit.terms, ManualClock()
                )
                return engine.read(again)

        work = unit.work
        unit.work = lambda tx: work(Torn(tx))
        return engine.read(unit)


class NeverInside(Broken):
    noticed_by = (
        "test_an_engine_knows_who_is_inside",
        "test_a_task_is_inside_its_loan_and_its_children_are_not",
    )

    def inside(self):
        return False


class TidiesOnce(Broken):
    noticed_by = ("test_what_is_out_of_sight_is_deleted_until_nothing_is_left",)

    def __setattr__(self, name, value):
        if name == "tidy":
            self.inner.tidy = lambda tx: value(_Tidy(tx))


class _Tidy(Wrapped):
    def untidy(self):
        """Not said on."""


class LeavesACancelledLoanOpen(Broken):
    noticed_by = (
        "test_a_loan_that_is_cancelled_at_any_await_is_there_whole_or_not_at_all",
    )

    async def lend(self, terms, seconds):
        class Left(Wrapped):
            async def end(self, *, keep):
                if keep:
                    await self.inner.end(keep=True)

        return Left(await self.inner.lend(terms, seconds))


class CommitsEachStepOfALoan(Broken):
    noticed_by = (
        "test_a_loan_is_kept_or_dropped_whole",
        "test_a_loan_that_is_cancelled_at_any_await_is_there_whole_or_not_at_all",
    )

    async def lend(self, terms, seconds):
        engine = self.inner

        class Stepwise(Wrapped):
            async def do(self, work):
                made = await self.inner.do(work)
                await self.inner.end(keep=True)
                object.__setattr__(self, "inner", await engine.lend(terms, seconds))
                return made

        return Stepwise(await engine.lend(terms, seconds))


class NeverTimesOut(Broken):
    noticed_by = (
        "test_a_body_past_its_time_is_told_and_keeps_nobody_waiting",
        "test_a_loan_past_its_time_is_told_and_keeps_nobody_waiting",
    )

    def borrow(self, terms, seconds):
        return super().borrow(terms, seconds + 1.5)

    async def lend(self, terms, seconds):
        return await self.inner.lend(terms, seconds + 1.5)


class ServesAfterItsClose(Broken):
    noticed_by = (
        "test_a_closed_engine_refuses_everything",
        "test_a_closed_engine_serves_nobody_beside_the_state",
    )

    def close(self):
        """Nothing happens."""


class LeavesWaitersAtItsClose(Broken):
    noticed_by = ("test_a_close_answers_who_waits",)

    def post(self, unit):
        if self.__dict__.setdefault("seen", []):
            return
        self.__dict__["seen"].append(unit)
        self.inner.post(unit)


class MixesUpAnswers(Broken):
    noticed_by = ("test_of_many_units_each_is_answered_with_its_own",)

    def post(self, unit):
        last, self.__dict__["last"] = self.__dict__.get("last"), unit
        if last is not None:
            last.future, unit.future = unit.future, last.future
        self.inner.post(unit)


class ForgetsWhoAndWhy(Broken):
    noticed_by = ("test_a_unit_is_one_moment_with_its_time_and_terms",)

    def write(self, unit):
        unit.terms = Terms(owner=unit.terms.owner)
        return self.inner.write(unit)


class WritesThoughItShouldOnlyRead(Broken):
    noticed_by = (
        "test_a_store_that_is_only_read_is_not_written_to",
        "test_beside_a_state_that_is_only_read_nothing_is_written",
    )

    def chosen(self, options):
        return msgspec.structs.replace(options, read_only=False)


class MigratesThoughItShouldOnlyTell(Broken):
    noticed_by = (
        "test_a_new_kinds_tables_are_made_in_a_store_that_lacks_them",
        "test_older_tables_are_led_on_and_journalled_as_new_ones",
    )

    def chosen(self, options):
        return msgspec.structs.replace(options, migrate="auto")


class UndoesNoSavepoint(Broken):
    noticed_by = (
        "test_a_savepoint_that_fails_is_undone_alone",
        "test_a_part_of_a_body_fails_alone",
        "test_what_was_undone_leaves_no_change_and_no_gap",
    )

    def spoil(self, tx):
        class Flat(Wrapped):
            def savepoint(self):
                return contextlib.nullcontext()

        return Flat(tx)


class ForgetsThatAPutFailed(Broken):
    noticed_by = ("test_a_put_that_fails_is_told_by_the_end_of_its_unit",)

    def spoil(self, tx):
        class Careless(Wrapped):
            def put(self, name, **values):
                with contextlib.suppress(Exception):
                    self.inner.put(name, **values)

        return Careless(tx)


class FindsNothing(Broken):
    noticed_by = ("test_a_check_finds_that_an_image_is_missing",)

    def check(self):
        return Report((), self.inner.check().counts)


class LocksNothing(Broken):
    engine = "postgres"
    noticed_by = ("test_who_locks_a_record_keeps_others_from_it",)

    def spoil(self, tx):
        class Unlocked(Wrapped):
            def lock(self, kind, id):
                """Nobody is kept out."""

        return Unlocked(tx)


class AnswersAndCommitsLater(Broken):
    noticed_by = (
        "test_a_unit_gives_its_result_and_what_it_did_is_there",
        "test_a_read_sees_every_write_that_was_acknowledged",
    )

    def write(self, unit):
        answered = threading.Event()
        go_on = self.__dict__.setdefault("go_on", threading.Event())
        work = unit.work

        def slow(tx):
            unit.result = work(tx)
            answered.set()
            go_on.wait(20)
            return unit.result

        unit.work = slow
        thread = threading.Thread(target=self.inner.write, args=(unit,))
        thread.start()
        self.__dict__.setdefault("late", []).append(thread)
        answered.wait(20)
        return unit.result

    def really_close(self):
        self.__dict__["go_on"].set()
        for thread in self.__dict__.get("late", ()):
            thread.join()
        super().really_close()


class TellsBeforeTheCommit(Broken):
    noticed_by = ("test_what_is_told_of_is_there_by_then",)

    def spoiled(self, unit):
        work = unit.work

        def early(tx):
            result = work(tx)
            self.inner.witness.committed(list(tx.tellings))
            tx.tellings.clear()
            return result

        unit.work = early
        return unit


class TellsOfWhatWasUndone(Broken):
    noticed_by = (
        "test_what_is_undone_is_never_told",
        "test_in_a_group_each_unit_tells_for_itself_and_once",
    )

    def spoiled(self, unit):
        work = unit.work

        def told(tx):
            before = len(tx.tellings)
            try:
                return work(tx)
            except BaseException:
                self.inner.witness.committed(tx.tellings[before:])
                raise

        unit.work = told
        return unit


class KeepsWhatASavepointTold(Broken):
    noticed_by = ("test_a_savepoint_that_is_undone_takes_what_it_told_along",)

    def spoil(self, tx):
        class Keeping(Wrapped):
            @contextlib.contextmanager
            def savepoint(self):
                told = []
                try:
                    with self.inner.savepoint():
                        try:
                            yield
                        finally:
                            told += self.inner.tellings
                except BaseException:
                    self.inner.tellings[:] = told
                    raise

        return Keeping(tx)


class HearsWhatIsOver(Broken):
    noticed_by = ("test_what_is_over_tells_nothing_more",)

    def spoil(self, tx):
        class Hearing(Wrapped):
            def tell(self, told):
                Transaction.tell(self.inner, told)

        return Hearing(tx)


class TellsOfReads(Broken):
    noticed_by = ("test_a_commit_is_told_of_that_changed_something_and_a_read_is_not",)

    def read(self, unit):
        found = self.inner.read(unit)
        self.inner.witness.committed([])
        return found


class Mishearing(Broken):
    """An engine whose witness is told something else, by way of `heard`."""

    def __setattr__(self, name, value):
        super().__setattr__(name, self.heard(value) if name == "witness" else value)


class TellsTwice(Mishearing):
    noticed_by = (
        "test_what_a_transaction_tells_is_told_in_order_however_it_is_run",
        "test_in_a_group_each_unit_tells_for_itself_and_once",
    )

    class heard(Wrapped):
        def committed(self, tellings):
            self.inner.committed(tellings * 2)


class TellsBackwards(Mishearing):
    noticed_by = ("test_what_a_transaction_tells_is_told_in_order_however_it_is_run",)

    class heard(Wrapped):
        def committed(self, tellings):
            self.inner.committed(tellings[::-1])


class ForgetsWhoTold(Mishearing):
    noticed_by = ("test_what_is_told_is_as_it_was_said_with_the_terms_of_its_unit",)

    class heard(Wrapped):
        def committed(self, tellings):
            self.inner.committed([(Terms(), told) for _, told in tellings])


class SaysNothingOfCommits(Mishearing):
    noticed_by = ("test_a_commit_is_told_of_that_changed_something_and_a_read_is_not",)

    class heard(Wrapped):
        def committed(self, tellings):
            if tellings:
                self.inner.committed(tellings)


class SaysNothingOfFailures(Mishearing):
    noticed_by = ("test_what_storage_did_not_keep_is_told_of",)

    class heard(Wrapped):
        def failed(self, error):
            """Nobody is told."""


class TellsOfItsEndTwice(Mishearing):
    noticed_by = ("test_the_end_is_told_once_while_the_engine_still_serves",)

    class heard(Wrapped):
        def closing(self):
            self.inner.closing()
            self.inner.closing()


class ForgetsWhatIsCommittedWhileItCloses(Mishearing):
    noticed_by = (
        "test_what_is_committed_while_it_closes_is_told_before_the_state_is_closed",
    )

    class heard(Wrapped):
        def __init__(self, inner):
            super().__init__(inner)
            object.__setattr__(self, "ending", [])

        def closing(self):
            self.ending.append(True)
            time.sleep(0.05)
            self.inner.closing()

        def committed(self, tellings):
            if not self.ending:
                self.inner.committed(tellings)


class TellsOfItsEndAfterIt(Mishearing):
    noticed_by = ("test_the_end_is_told_once_while_the_engine_still_serves",)

    class heard(Wrapped):
        def closing(self):
            """Not yet."""

    def close(self):
        self.inner.close()
        with contextlib.suppress(Closed):
            self.inner.witness.inner.closing()


class BrokenBeside(Broken):
    """An engine of which what is beside the state is broken: its `aside`."""

    @property
    def beside(self):
        return self.aside(self.inner.beside)


class ForgetsToRollBackBesideTheState(BrokenBeside):
    noticed_by = ("test_a_unit_beside_the_state_is_kept_whole_or_leaves_nothing",)

    class aside(Wrapped):
        write = ForgetsToRollBackAUnit.write


class JournalsWhatIsBesideTheState(BrokenBeside):
    engine = "postgres"
    noticed_by = ("test_what_is_kept_beside_the_state_is_no_change_of_it",)

    class aside(Wrapped):
        def write(self, unit):
            unit.terms = Terms(every_owner=True)
            return self.inner.write(unit)


class WaitsForTheStateBesideIt(BrokenBeside):
    noticed_by = ("test_neither_waits_for_a_transaction_of_the_other",)
    open = threading.Lock()

    @contextlib.contextmanager
    def borrow(self, terms, seconds):
        with self.open, self.inner.borrow(terms, seconds) as tx:
            yield tx

    class aside(Wrapped):
        def write(self, unit):
            if not WaitsForTheStateBesideIt.open.acquire(timeout=0.2):
                raise TimeoutError
            WaitsForTheStateBesideIt.open.release()
            return self.inner.write(unit)


class HasNothingBesideTheState(BrokenBeside):
    noticed_by = ("test_it_is_there_once_it_was_written_to",)

    class aside(Wrapped):
        there = False


class LosesTheSecondWakeUpBesideTheState(BrokenBeside):
    noticed_by = (
        "test_who_watches_beside_the_state_is_woken_until_it_stops",
        "test_who_watches_beside_the_state_is_woken_by_another_engine_too",
    )

    class aside(Wrapped):
        watch = LosesTheSecondWakeUp.watch


class TakesWhatComesTooLateBesideTheState(BrokenBeside):
    noticed_by = ("test_a_unit_beside_the_state_that_is_over_does_nothing_more",)

    class aside(Wrapped):
        def write(self, unit):
            class Late(Wrapped):
                def put(self, name, /, **values):
                    with contextlib.suppress(Refused):
                        self.inner.put(name, **values)

            work = unit.work
            unit.work = lambda tx: work(Late(tx))
            return self.inner.write(unit)


BROKEN = [
    found
    for found in list(globals().values())
    if isinstance(found, type)
    and issubclass(found, Broken)
    and hasattr(found, "noticed_by")
]
