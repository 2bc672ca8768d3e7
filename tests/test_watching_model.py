"""Watchers of random records and queries beside concurrent writers, against a model.

The model of a watcher is the store itself, read as of each of its moments: the states
that a watcher was given must be some of those, in their order, none twice in a row; and
when all is at rest the last of them is what the query gives now.
"""

import itertools
import tempfile
import threading
import time

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import holdfast
from holdfast import errors

SESSIONS = ("s0", "s1", "s2")
TASKS = ("t0", "t1", "t2")
OWNERS = ("", "ada")
PATIENCE_SECONDS = 20.0


def conversations(tx):
    """What a page of conversations shows."""
    return [(s.id, s.title, s.message_count) for s in tx.sessions.list()]


def words(tx, id):
    """All that was said in one session; None if there is none."""
    try:
        return [message.content for message in tx.sessions.messages(id)]
    except errors.NotFound:
        return None


QUERIES = st.one_of(
    st.tuples(st.just("record"), st.just("sessions"), st.sampled_from(SESSIONS)),
    st.tuples(st.just("record"), st.just("tasks"), st.sampled_from(TASKS)),
    st.tuples(st.just("named"), st.sampled_from(["pending", "in_progress", None])),
    st.tuples(st.just("conversations")),
    st.tuples(st.just("words"), st.sampled_from(SESSIONS)),
)


def watch(store, query):
    """Watch a query."""
    match query:
        case ("record", kind, id):
            return store.watch(kind, id)
        case ("named", status):
            return store.watch_query("tasks.list", status=status)
        case ("conversations",):
            return store.watch_query(conversations)
        case ("words", id):
            return store.watch_query(words, id)


def ask(store, query):
    """What a query gives, asked anew."""
    match query:
        case ("record", kind, id):
            try:
                return getattr(store, kind).get(id)
            except errors.NotFound:
                return None
        case ("named", status):
            return store.tasks.list(status=status)
        case ("conversations",):
            return store.read(conversations)
        case ("words", id):
            return store.read(words, id)


OPERATIONS = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(SESSIONS), st.none()),
    st.tuples(st.just("fork"), st.sampled_from(SESSIONS), st.sampled_from(SESSIONS)),
    st.tuples(st.just("append"), st.sampled_from(SESSIONS), st.integers(1, 4)),
    st.tuples(st.just("rewind"), st.sampled_from(SESSIONS), st.integers(0, 3)),
    st.tuples(st.just("title"), st.sampled_from(SESSIONS), st.sampled_from("ab")),
    st.tuples(st.just("delete"), st.sampled_from(SESSIONS), st.none()),
    st.tuples(st.just("task"), st.sampled_from(TASKS), st.sampled_from(SESSIONS)),
    st.tuples(st.just("start"), st.sampled_from(TASKS), st.none()),
    st.tuples(st.just("log"), st.sampled_from(TASKS), st.none()),
    st.tuples(st.just("drop"), st.sampled_from(TASKS), st.none()),
)


def do(tx, operation, id, with_this):  # noqa: C901
    """Do one operation; what cannot be is left undone."""
    try:
        match operation:
            case "create":
                tx.sessions.create(id=id)
            case "fork":
                tx.sessions.fork(id, new_id=with_this)
            case "append":
                for number in range(with_this):
                    tx.sessions.append(id, "user", number)
            case "rewind":
                tx.sessions.rewind(id, with_this)
            case "title":
                tx.sessions.update(id, title=with_this)
            case "delete":
                tx.sessions.delete(id)
            case "task":
                tx.tasks.create("Book", id=id, session=with_this)
            case "start":
                tx.tasks.start(id)
            case "log":
                tx.tasks.log(id, "Looking")
            case "drop":
                tx.tasks.delete(id)
    except errors.HoldfastError:
        return


def do_all(tx, operations):
    """Do several operations in one transaction."""
    for operation in operations:
        do(tx, *operation)


BATCHES = st.lists(st.lists(OPERATIONS, min_size=1, max_size=3), min_size=1, max_size=4)


class Follower:
    """Someone who watches, and keeps what it was given."""

    def __init__(self, store, query, *, slow):
        self.query = query
        self.store = store
        self.began = store.moment()
        self.watched = watch(store, query)
        self.seen = []
        self.slow = slow
        self.called = []
        self.first = self.watched.value
        self.watched.on_change(self.called.append)
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def follow(self):
        for state in self.watched:
            self.seen.append(state)
            if self.slow:
                time.sleep(0.01)

    def close(self):
        self.watched.close()
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive()


class Watchers(RuleBasedStateMachine):
    """Watchers come and go while threads write."""

    @initialize(in_a_file=st.booleans())
    def open(self, in_a_file):
        self.folder = tempfile.TemporaryDirectory()
        target = f"{self.folder.name}/agent.db" if in_a_file else ":memory:"
        self.store = holdfast.open(target, durability="process-crash")
        self.followers = []
        self.gone = []

    def of(self, owner):
        return self.store.owned_by(owner)

    @rule(owner=st.sampled_from(OWNERS), query=QUERIES, slow=st.booleans())
    def come(self, owner, query, slow):
        self.followers.append(Follower(self.of(owner), query, slow=slow))

    @rule(data=st.data())
    def go(self, data):
        if self.followers:
            number = data.draw(st.integers(0, len(self.followers) - 1))
            self.settle()
            one = self.followers.pop(number)
            one.close()
            self.gone.append(one)

    @rule(
        batches=st.lists(
            st.tuples(st.sampled_from(OWNERS), BATCHES), min_size=1, max_size=3
        ),
        coming=st.lists(st.tuples(st.sampled_from(OWNERS), QUERIES), max_size=2),
    )
    def write(self, batches, coming):
        """Threads write at once, while others begin to watch."""
        threads = [
            threading.Thread(target=self.write_all, args=(owner, batch))
            for owner, batch in batches
        ]
        for thread in threads:
            thread.start()
        for owner, query in coming:
            self.followers.append(Follower(self.of(owner), query, slow=False))
        for thread in threads:
            thread.join()

    def write_all(self, owner, batch):
        for operations in batch:
            self.of(owner).run(do_all, operations)

    def settle(self):
        """Wait until each watcher was given what there is; its newest state is that."""
        for one in self.followers:
            wanted = ask(one.store, one.query)
            for known in (one.seen, one.called):
                until = time.monotonic() + PATIENCE_SECONDS
                while not at(known, one.first, wanted):
                    assert time.monotonic() < until, (one.query, known, wanted)
                    time.sleep(0.001)
            assert one.watched.value == wanted

    @invariant()
    def the_newest_is_known(self):
        self.settle()

    def teardown(self):
        if not hasattr(self, "store"):
            return
        try:
            self.settle()
            for one in self.followers:
                one.close()
            for one in (*self.followers, *self.gone):
                self.judge(one)
        finally:
            self.store.close()
            self.folder.cleanup()

    def judge(self, one):
        """What one was given are states that there were, in order, none twice."""
        states = self.states(one)
        assert one.seen
        assert all(a != b for a, b in itertools.pairwise(one.seen))
        called = [one.first, *one.called]
        assert all(a != b for a, b in itertools.pairwise(called))
        for given in (one.seen, called):
            place = 0
            for state in given:
                while place < len(states) and states[place] != state:
                    place += 1
                assert place < len(states), (one.query, given, states)

    def states(self, one):
        """The states that a query had, from the moment when it was first asked on."""
        moments = {change.moment for change in self.changes()}
        later = sorted(moment for moment in moments if moment > one.began)
        return [
            ask(one.store.as_of(moment), one.query) for moment in (one.began, *later)
        ]

    def changes(self):
        journal, after = self.store.across_owners().journal, 0
        while page := journal.read(after, limit=1_000):
            yield from page
            after = page[-1].seq


def at(given, first, wanted):
    """Whether what was given has come to a state."""
    return (given[-1] if given else first) == wanted


TestWatchers = Watchers.TestCase
TestWatchers.settings = settings(
    max_examples=25,
    stateful_step_count=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
