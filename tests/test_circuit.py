"""A circuit opens after failures, lets one through after a while, and closes again."""

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.events.circuit import Circuit, CircuitState

MINUTE = 60_000_000
CLOSED, OPEN, HALF_OPEN = CircuitState


def failing(circuit, *times):
    """Have one fail at each time; at which of them the circuit opened."""
    opened = []
    for now in times:
        assert circuit.admits(now)
        if circuit.failed(now):
            opened.append(now)
    return opened


def test_five_failures_in_five_minutes_open_it_for_one_minute():
    circuit = Circuit(0)
    assert failing(circuit, *(n * MINUTE for n in range(5))) == [4 * MINUTE]
    assert (circuit.state, circuit.since) == (OPEN, 4 * MINUTE)
    assert not circuit.admits(4 * MINUTE)
    assert not circuit.admits(5 * MINUTE - 1)
    assert circuit.admits(5 * MINUTE)
    assert circuit.state is HALF_OPEN


def test_five_failures_in_more_than_five_minutes_leave_it_closed():
    circuit = Circuit(0)
    times = [n * MINUTE * 5 // 4 for n in range(20)]
    assert failing(circuit, *times) == []
    assert circuit.state is CLOSED


def test_what_goes_well_in_between_forgives_no_failure():
    circuit = Circuit(0)
    for now in range(4):
        failing(circuit, now)
        assert circuit.admits(now)
        assert not circuit.succeeded(now)
    assert failing(circuit, 4) == [4]


def test_one_alone_goes_through_half_open_and_decides():
    circuit = Circuit(0)
    failing(circuit, *range(5))
    assert circuit.admits(MINUTE + 4)
    assert not circuit.admits(MINUTE + 4)
    assert not circuit.admits(9 * MINUTE)
    assert circuit.failed(9 * MINUTE)
    assert not circuit.admits(10 * MINUTE - 1)
    assert circuit.admits(10 * MINUTE)
    assert circuit.succeeded(10 * MINUTE + 1)
    assert (circuit.state, circuit.since) == (CLOSED, 10 * MINUTE + 1)
    base = 10 * MINUTE + 2
    assert failing(circuit, *range(base, base + 5)) == [base + 4]


def test_a_clock_that_was_set_back_keeps_it_open_no_longer():
    circuit = Circuit(100 * MINUTE)
    failing(circuit, *[100 * MINUTE] * 5)
    assert not circuit.admits(0)
    assert circuit.admits(MINUTE)


class Plain:
    """The same, told from all that ever happened."""

    def __init__(self, most, within, pause):
        self.most, self.within, self.pause = most, within, pause
        self.failures, self.opened, self.trying = [], None, False

    def admits(self, now):
        if self.opened is None:
            return True
        if self.trying or now < self.opened + self.pause:
            return False
        self.trying = True
        return True

    def failed(self, now):
        if self.opened is not None and not self.trying:
            return False
        self.failures.append(now)
        recent = [at for at in self.failures if now - at < self.within]
        if not self.trying and len(recent) < self.most:
            return False
        self.failures, self.opened, self.trying = [], now, False
        return True

    def succeeded(self, now):
        closes = self.trying
        if closes:
            self.failures, self.opened, self.trying = [], None, False
        return closes


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admits", "failed", "failed", "succeeded"]),
        st.integers(0, 12),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 4), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=300, deadline=None)
def test_whatever_happens_it_does_as_a_plain_model_does(steps, most, within, pause):
    circuit = Circuit(0, failures=most, within_us=within, open_us=pause)
    model, now = Plain(most, within, pause), 0
    for step, passed in steps:
        now += passed
        assert getattr(circuit, step)(now) == getattr(model, step)(now)
        open_now = model.opened is not None
        assert (circuit.state is CLOSED) == (not open_now)
        assert (circuit.state is HALF_OPEN) == model.trying
