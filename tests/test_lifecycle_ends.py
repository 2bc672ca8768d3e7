"""How a life ends: by signals, at exits, with an event loop, killed; in every phase.

Programs of their own are told by signals, and say on a pipe how far they are.
"""

import signal

import pytest

import holdfast
from living import FACES, Program
from postgres import empty_store

PHASES = ("core", "startup", "context", "ready", "shutdown")
SIGNALS = (signal.SIGTERM, signal.SIGINT)

MODULES = """
store = holdfast.open(sys.argv[1])
life = Lifecycle(store)
life.module("db", core=lambda: say("db up"), shutdown=lambda: say("db down"))
"""
SAY_HOW = """
say(*(f"{s.module} {s.outcome}" for s in life.report().steps if s.outcome != "done"))
"""
LIVES = {
    "plain": "with life: work()",
    "awaited": """
async def live():
    async with life: await awork()
asyncio.run(live())
""",
}


@pytest.fixture(params=FACES)
def face(request):
    return request.param


@pytest.fixture
def program(tmp_path):
    """Makes programs; none of them outlives the test."""
    made = []

    def make(text, *more, fresh=False):
        made.append(Program(text, tmp_path, *more, fresh=fresh))
        return made[-1]

    yield make
    for one in made:
        one.close()


WORK = """
def work():
    say("at work")
    rest()

async def awork():
    say("at work")
    await asyncio.sleep(60)
"""
WAIT = """
def announced():
    "Say so once somebody waits."
    while not any((life._runner and life._runner._waits,
                   life._arunner and life._arunner._waiting)):
        time.sleep(0.001)
    say("at work")

def work():
    threading.Thread(target=announced, daemon=True).start()
    life.wait()
    say("woken")

async def awork():
    threading.Thread(target=announced, daemon=True).start()
    await life.await_stop()
    say("woken")
"""


# Signals.


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_block_and_then_the_process_as_it_would_have(
    program, face, number
):
    running = program(MODULES + WORK + LIVES[face] + "\nsay('after')")
    running.wait_for("at work")
    running.send(number)
    assert running.end() == -number, running.errors
    assert running.said == ["db up", "at work", "db down"]
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in running.errors
    else:
        assert running.errors == ""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_wakes_who_waits_for_it(program, face, number):
    running = program(MODULES + WAIT + LIVES[face])
    running.wait_for("at work")
    running.send(number)
    assert running.end() == -number, running.errors
    assert running.said == ["db up", "at work", "woken", "db down"]


@pytest.mark.parametrize("number", SIGNALS)
def test_run_without_a_function_lives_until_a_signal(program, number):
    running = program(MODULES + 'life.on("ready", "up")(lambda: say("up"))\nlife.run()')
    running.wait_for("up")
    running.send(number)
    assert running.end() == -number, running.errors
    assert running.said[-1] == "db down"


AT = """
life.module("late", {phase}=lambda: held("here"), shutdown=lambda: say("late down"))
"""
AT_SHUTDOWN = """
life.module("late", shutdown=lambda: held("here"))
"""
OWN_HANDLER = """
signal.signal(signal.SIGTERM, lambda *_: say("mine"))
signal.signal(signal.SIGINT, lambda *_: say("mine"))
"""
NOTHING = """
def work(): pass
async def awork(): pass
"""


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        *((phase, signal.SIGTERM) for phase in PHASES),
        *((phase, signal.SIGINT) for phase in ("startup", "shutdown")),
    ],
)
def test_a_signal_in_any_phase_shuts_down_what_is_up(program, face, phase, number):
    """The handler that runs is let go on to its end; nothing begins after it."""
    more = AT_SHUTDOWN if phase == "shutdown" else AT.format(phase=phase)
    after = 'life.module("never", ready=lambda: say("never"))\n'
    if phase == "shutdown":
        after = ""
    running = program(MODULES + more + after + NOTHING + LIVES[face])
    running.wait_for("here")
    running.send(number)
    running.go_on()
    assert running.end() == -number, running.errors
    wanted = ["db up", "here", "late down", "db down"]
    if phase == "shutdown":
        wanted.remove("late down")
    assert running.said == wanted


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGINT),
    ],
)
def test_a_second_signal_ends_it_at_once(program, face, first, second):
    late = 'life.module("late", shutdown=lambda: held("hangs"), seconds=60)\n'
    running = program(MODULES + late + WORK + LIVES[face])
    running.wait_for("at work")
    running.send(first)
    running.wait_for("hangs")
    running.send(second)
    assert running.end() == -second, running.errors
    assert "db down" not in running.said


def test_a_second_signal_cuts_it_off_also_where_it_does_not_end_the_process(
    program, face
):
    late = 'life.module("late", shutdown=lambda: held("hangs"), seconds=60)\n'
    running = program(OWN_HANDLER + MODULES + late + WORK + LIVES[face] + SAY_HOW)
    running.wait_for("at work")
    running.send(signal.SIGTERM)
    running.wait_for("hangs")
    running.send(signal.SIGTERM)
    assert running.end() == 0, running.errors
    told = ["db up", "at work", "hangs", "mine", "mine"]
    assert running.said == [*told, "late cut off db cut off"]


def test_a_signal_that_comes_as_the_block_ends_ends_the_process_in_order(program, face):
    work = """
def work():
    say("at work")
    signal.raise_signal(signal.SIGTERM)

async def awork(): work()
"""
    running = program(MODULES + work + LIVES[face] + "\nsay('after')")
    assert running.end() == -signal.SIGTERM, running.errors
    assert running.said == ["db up", "at work", "db down"]
    assert running.errors == ""


def test_a_signal_that_wakes_nobody_is_heard_of_all_the_same(program):
    """One that comes on another thread, or just before the event loop waits."""
    work = """
def comes():
    time.sleep(0.1)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

async def awork():
    say("at work")
    threading.Thread(target=comes).start()
    await asyncio.sleep(60)
"""
    running = program(MODULES + work + LIVES["awaited"])
    assert running.end() == -signal.SIGTERM, running.errors
    assert running.said == ["db up", "at work", "db down"]


def test_an_event_loops_handler_of_a_signal_hears_of_it_once(program):
    text = """
async def live():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: say("loop's", life.phase))
    async with life:
        await awork()
    say("after")
    await asyncio.sleep(0)
asyncio.run(live())
"""
    running = program(MODULES + WORK + text)
    running.wait_for("at work")
    running.send(signal.SIGTERM)
    assert running.end() == 0, running.errors
    assert running.said == ["db up", "at work", "loop's ready", "db down", "after"]


def test_a_hanging_shutdown_does_not_keep_a_signal_from_ending_it(program, face):
    late = 'life.module("late", shutdown=lambda: time.sleep(60), seconds=0.1)\n'
    running = program(MODULES + late + WORK + LIVES[face])
    running.wait_for("at work")
    running.send(signal.SIGTERM)
    assert running.end() == -signal.SIGTERM
    assert running.said[-1] == "db down"
    assert "'late': its shutdown handler was not done after 0.1 s" in running.errors


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("first", ["set in the block", "not set"])
def test_a_signal_is_passed_on_to_who_had_it_before(program, face, number, first):
    """Also where sections of state, which look after SIGTERM, came in between."""
    work = WORK
    if first == "set in the block":
        work = WORK.replace(
            'say("at work")', 'store.state.set("a", "b", 1); say("at work")'
        )
    running = program(
        OWN_HANDLER
        + MODULES
        + work
        + LIVES[face]
        + "\nsay('after')\nlife.store.close()"
    )
    running.wait_for("at work")
    running.send(number)
    assert running.end() == 0, running.errors
    assert running.said == ["db up", "at work", "db down", "mine", "after"]


def test_handlers_of_signals_are_given_back(program, face):
    running = program(
        MODULES
        + NOTHING
        + "before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]\n"
        + LIVES[face]
        + "\nafter = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]"
        + "\nsay(before == after)"
    )
    assert running.end() == 0, running.errors
    assert running.said[-1] == "True"


def test_signals_that_are_ignored_stay_so_and_others_may_be_left_alone(program, face):
    text = MODULES.replace("Lifecycle(store)", "Lifecycle(store, signals=False)")
    running = program(text + WORK + LIVES[face])
    running.wait_for("at work")
    running.send(signal.SIGTERM)
    assert running.end() == -signal.SIGTERM
    assert "db down" not in running.said
    ignoring = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    work = WORK.replace('say("at work")', 'held("at work"); say("worked on")')
    running = program(ignoring + MODULES + work + LIVES[face])
    running.wait_for("at work")
    running.send(signal.SIGTERM)
    running.go_on()
    running.wait_for("worked on")
    running.send(signal.SIGINT)
    assert running.end() == -signal.SIGINT
    assert running.said[-1] == "db down"


def test_a_block_may_see_to_ctrl_c_itself(program):
    text = """
def work():
    try:
        say("at work")
        rest()
    except KeyboardInterrupt:
        say("go on")
"""
    running = program(MODULES + text + LIVES["plain"])
    running.wait_for("at work")
    running.send(signal.SIGINT)
    running.end()
    assert running.said == ["db up", "at work", "go on", "db down"], running.errors


# Exits.


@pytest.mark.parametrize(("end", "status"), [("", 0), ("raise ValueError('no')", 1)])
def test_an_exit_without_a_close_shuts_everything_down(program, end, status):
    text = """
async def down():
    await asyncio.sleep(0)
    say("agent down")

life.module("agent", shutdown=down)
life.start()
say('up')
"""
    running = program(MODULES + text + end, fresh=True)
    assert running.end() == status, running.errors
    assert running.said == ["db up", "up", "agent down", "db down"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_without_a_block_ends_the_program_in_order(program, number):
    running = program(MODULES + "life.start()\nsay('up')\nrest()", fresh=True)
    running.wait_for("up")
    running.send(number)
    wanted = -number if number == signal.SIGINT else 128 + number
    assert running.end() == wanted, running.errors
    assert running.said[-1] == "db down"


def test_the_end_of_an_event_loop_ends_the_life(program):
    text = """
async def down():
    await asyncio.sleep(0.01)
    say("agent down")

life.module("agent", shutdown=down)

async def main():
    await life.astart()
    say("up")

asyncio.run(main())
say(life.report().why, life.report().orderly)
"""
    running = program(MODULES + text, fresh=True)
    assert running.end() == 0, running.errors
    assert running.said == ["db up", "up", "agent down", "db down", "loop True"]


def test_a_loop_that_is_gone_without_a_word_ends_the_life_at_the_exit(program):
    text = """
async def down():
    await asyncio.sleep(0)
    say("agent down")

life.module("agent", shutdown=down)
loop = asyncio.new_event_loop()
loop.run_until_complete(life.astart())
say("up")
"""
    running = program(MODULES + text, fresh=True)
    assert running.end() == 0, running.errors
    assert running.said == ["db up", "up", "agent down", "db down"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_without_an_async_block_ends_the_program_in_order(program, number):
    text = """
async def main():
    await life.astart()
    say("up")
    await asyncio.sleep(60)

asyncio.run(main())
"""
    running = program(MODULES + text, fresh=True)
    running.wait_for("up")
    running.send(number)
    assert running.end() == -number, running.errors
    assert running.said == ["db up", "up", "db down"]


def test_a_forked_process_has_no_part_in_the_life(program, face, tmp_path):
    """One that leaves the block, and one that a signal ends.

    Its event loop is not its parent's, either: that one hears of its own threads still.
    """
    text = """
life.module("slow", shutdown=lambda: time.sleep(0.05))

def dies():
    raise ValueError("on a thread of the child's")

def work():
    child = os.fork()
    if child == 0:
        thread = threading.Thread(target=dies)
        thread.start()
        thread.join()
        say("child")
        sys.exit(7)
    say("child's status", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    there, here = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(here, b"x")
        rest()
    os.read(there, 1)
    os.kill(child, signal.SIGTERM)
    say("signal", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

async def awork(): work()
"""
    how = "\nsay('in order:', life.report().orderly)"
    running = program(MODULES + text + LIVES[face] + how)
    assert running.end() == 0, running.errors
    assert running.said == [
        "db up",
        "child",
        "child's status 7",
        "signal -15",
        "db down",
        "in order: True",
    ]
    assert list(tmp_path.glob("*-dump-*")) == []


def test_a_worker_in_the_life_stops_with_it(program):
    text = """
life.module("worker", startup=lambda module: module.enter(
    holdfast.Worker(store, {"greet": lambda job: say(job.body)})))
def work():
    store.jobs.result(store.jobs.put("greet", "hello").id)
    say("at work")
    rest()
"""
    running = program(MODULES + text + LIVES["plain"])
    running.wait_for("at work")
    running.send(signal.SIGTERM)
    assert running.end() == -signal.SIGTERM, running.errors
    assert running.said == ["db up", "hello", "at work", "db down"]


# Killed.

KILLED = """
phase, target = sys.argv[2:]
store = holdfast.open(target)
given = []
life = Lifecycle(store)
store.checkpoints.participant("queue", lambda: given + ["more"], given.extend)
store.state.set("runs", "last", phase)
store.state.flush()
life.module("db", core=lambda: say("up"))
if phase != "none":
    life.module("late", **{phase: lambda: held("here")})
with life:
    say("given", *given)
"""


@pytest.fixture(params=["file", "server"])
def home(request, tmp_path):
    """Where the program's store is: in a file, or on a server."""
    if request.param == "file":
        yield str(tmp_path / "agent.db")
    else:
        with empty_store() as url:
            yield url


def all_given_back(program, home):
    """Of two that were ready, and one after the other had `more`, nothing is lost."""
    again = program(KILLED, "none", home)
    assert again.end() == 0, again.errors
    assert again.said == ["up", "given more more"]
    with holdfast.open(home) as store:
        assert store.check().problems == ()
        assert store.state.get("runs", "last") == "none"


def test_killed_in_any_phase_the_next_start_goes_well_and_nothing_is_lost(
    program, home
):
    """What the last orderly end had in its checkpoint is given back, and once.

    Who was killed in the shutdown had it back, and had taken the next one.
    """
    assert program(KILLED, "none", home).end() == 0
    for phase in PHASES:
        killed = program(KILLED, phase, home)
        killed.wait_for("here")
        killed.kill()
        was_ready = phase == "shutdown"
        assert ("given more" in killed.said) is was_ready
    all_given_back(program, home)


def test_terminated_in_any_phase_nothing_of_the_checkpoint_is_lost(program, home):
    assert program(KILLED, "none", home).end() == 0
    for phase in PHASES:
        ended = program(KILLED, phase, home)
        ended.wait_for("here")
        ended.send(signal.SIGTERM)
        ended.go_on()
        assert ended.end() == -signal.SIGTERM, ended.errors
    all_given_back(program, home)
