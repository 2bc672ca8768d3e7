"""Opening: tables are made, led on, or left as they are.

Answers for: a place where no store is yet, older tables, read-only stores.
"""

import pytest

from holdfast.contract import Kind
from holdfast.engine import Table, Transaction, Work
from holdfast.errors import CannotOpen, NeedsMigration, Refused
from holdfast.guarantees import Promise
from holdfast.testing.contract import Contract, needs
from holdfast.testing.work import Opened, Place, add

_TABLES = """
-- tables --
-- A note is a text under a name.
create table contract_note (
    no integer primary key,
    owner text not null,
    id text not null,
    body text not null,{more}
    unique (owner, id)
) strict;

-- contract_note_add --
-- Keep a note.
insert into contract_note (no, owner, id, body) values (:no, :owner, :id, :body)
"""
_MOOD = """
-- contract_note_mood --
-- Give notes a mood.
update contract_note set mood = :mood

-- contract_note_damage --
-- Lose the journal's images of notes.
delete from was_contract_note
"""


class Notes(Kind):
    """A kind as it is at first, under a name that no user's kind has."""

    name = "contract_notes"
    promise = Promise.DURABLE
    tables = (Table("contract_note"),)
    sql = _TABLES.format(more="")


class MoodyNotes(Notes):
    """The kind as it is later: with one column more."""

    sql = _TABLES.format(more="\n    mood text,") + _MOOD
    migrations = ("alter table contract_note add column mood text",)


class OpeningContract(Contract):
    """What stands behind `holdfast.open`."""

    def test_a_place_says_where_it_is(self, place: Place) -> None:
        assert place.open().engine.place

    @needs("shared_places")
    def test_what_was_committed_is_there_when_it_is_opened_again(
        self, place: Place
    ) -> None:
        one = place.open()
        one.write(add("a"))
        one.engine.close()
        again = place.open()
        again.write(add("b"))
        assert again.ids() == ["a", "b"]
        assert [c.seq for c in again.journal()] == [1, 2]

    @needs("shared_places")
    def test_many_may_open_a_new_place_at_once(self, place: Place) -> None:
        def use(number: int) -> None:
            place.open().write(add(str(number)))

        place.at_once(4, use)
        assert place.open().ids() == ["0", "1", "2", "3"]

    @needs("shared_places")
    def test_a_new_kinds_tables_are_made_in_a_store_that_lacks_them(
        self, place: Place
    ) -> None:
        place.open().engine.close()
        with pytest.raises(NeedsMigration):
            place.open(Notes, migrate="check")
        with pytest.raises(NeedsMigration):
            place.open(Notes, migrate="check")  # it was told, and nothing was done
        one = place.open(Notes)
        one.write(_note)
        assert one.engine.check().counts["contract_note"] == 1

    @needs("shared_places")
    def test_older_tables_are_led_on_and_journalled_as_new_ones(
        self, place: Place
    ) -> None:
        first = place.open(Notes)
        no = first.write(_note)
        first.engine.close()
        with pytest.raises(NeedsMigration):
            place.open(MoodyNotes, migrate="check")
        one = place.open(MoodyNotes)
        place.open(MoodyNotes, migrate="check").engine.close()
        for mood in ("calm", "merry"):
            assert one.write(_all_in(mood)) == 1
        assert [_mood(one, no, seq) for seq in (2, 3)] == [None, "calm"]
        now = one.read(lambda tx: tx.fields("contract_note_now", no=no))
        assert now is not None
        assert (now["body"], now["mood"]) == ("text", "merry")

    def test_a_check_finds_that_an_image_is_missing(self, place: Place) -> None:
        one = place.open(MoodyNotes)
        one.write(_note)
        one.write(_all_in("calm"))
        assert one.engine.check().ok
        one.write(lambda tx: tx.run("contract_note_damage"))
        assert not one.engine.check().ok
        one.engine.close()

    @needs("read_only", "shared_places")
    def test_a_store_that_is_only_read_is_not_written_to(self, place: Place) -> None:
        with pytest.raises(CannotOpen):
            place.open(read_only=True)
        writer = place.open()
        writer.write(add("a"))
        one = place.open(read_only=True)

        async def awaited() -> None:
            with pytest.raises(Refused):
                await one.posted(add("b"))
            with pytest.raises(Refused):
                await one.loan()
            assert len(await one.posted_read(_look)) == 1

        for _ in range(2):
            place.awaited(awaited())
            with pytest.raises(Refused):
                one.write(add("b"))
            with pytest.raises(Refused), one.body() as tx:
                add("b")(tx)
            assert one.ids() == ["a"]
            assert one.engine.check().ok
            writer.engine.close()

    @needs("read_only", "shared_places")
    def test_a_store_that_is_only_read_is_not_migrated(self, place: Place) -> None:
        place.open().engine.close()
        with pytest.raises(NeedsMigration):
            place.open(Notes, read_only=True)


def _note(tx: Transaction) -> int:
    no = tx.new_no()
    tx.put("contract_note_add", no=no, owner="", id="n", body="text")
    return no


def _all_in(mood: str) -> Work[int]:
    return lambda tx: tx.run("contract_note_mood", mood=mood)


def _mood(one: Opened, no: int, seq: int) -> object:
    """What mood a note was in before a change."""
    image = one.read(lambda tx: tx.fields("contract_note_before", seq=seq))
    assert image is not None
    assert image["no"] == no
    return image["mood"]


def _look(tx: Transaction) -> list[str]:
    return ["there"] if tx.one("task_get", owner="", id="a") else []
