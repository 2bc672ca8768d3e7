"""Broken engines: each breaks one promise of the contract, and is right otherwise.

`noticed_by` names the tests of `holdfast.testing` that must fail on it, `engine` what
is behind it.
"""

import contextlib
import threading

import msgspec

from holdfast.clock import ManualClock
from holdfast.engine import Report, Terms, answer
from holdfast.engines.postgres.engine import PostgresEngine
from holdfast.engines.sqlite.engine import SqliteEngine


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
    noticed_by = ("test_a_closed_engine_refuses_everything",)

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
    noticed_by = ("test_a_store_that_is_only_read_is_not_written_to",)

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


BROKEN = [
    found
    for found in list(globals().values())
    if isinstance(found, type) and issubclass(found, Broken) and found is not Broken
]
