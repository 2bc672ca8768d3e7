"""Machine files: any file of the form, made from its rules by Hypothesis.

`files()` gives specs that a definition takes; what they need is in `spec_of(…).guards`
and `.tools`. `expressions()`, `contexts()` and `payloads()` go together: they use the
same few keys, so that paths often find something.
"""

import functools

from hypothesis import strategies as st

KEYS = [
    "id",
    "value",
    "items",
    "name",
    "done",
    "result",
    "payload",
    "context",
    "a b",
    "é",
]
PATH_KEYS = [key for key in KEYS if " " not in key]
EVENTS = ["SUCCESS", "ERROR", "GO", "STOP", "RETRY", "event with spaces", "событие"]
STATES = ["idle", "busy", "error", "done", "a state", "états", "x.y"]
TOOLS = ["@db", "@core/publishMessage", "@ai/chat", "°Maia/actor/db", "mail", "a.b:c-d"]
GUARDS = ["is_ready", "may pass", "δ"]
TEXTS = st.sampled_from(
    ["", "x", "open", "@list", " padded ", "日本", "5", "a.b", "50$"]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([0.5, 1.0, -2.5, 1e300, 2**53 + 1]),
    TEXTS,
)


def values():
    """Any plain value."""
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
        ),
        max_leaves=8,
    )


def contexts():
    return st.dictionaries(st.sampled_from(KEYS), values(), max_size=6)


def payloads():
    return st.one_of(contexts(), values())


def paths(names=()):
    """Texts that are paths: of the context, of the payload, of a loop's item."""
    keys = st.sampled_from([*PATH_KEYS, *names, "0", "1", "missing"])
    path = st.lists(keys, min_size=1, max_size=3).map(".".join)
    return st.tuples(st.sampled_from(["$", "$$"]), path).map("".join)


@functools.cache
def expressions(depth=3, names=()):
    """Any expression, `depth` operators deep at most."""
    simple = st.one_of(SCALARS, paths(names), st.just([]), st.just({}))
    if depth == 0:
        return simple
    inner = st.deferred(lambda: expressions(depth - 1, names))
    return st.one_of(simple, _operations(inner, depth, names), _plain(inner))


def _plain(inner):
    made_keys = st.sampled_from(["$$id", "$$name.0"])
    keys = st.one_of(st.sampled_from(KEYS), made_keys, st.just("$schema"))
    return st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)
    )


def _operations(inner, depth, names):
    two = st.lists(inner, min_size=2, max_size=2)
    several = st.one_of(inner, st.lists(inner, max_size=3))
    one_or_two = st.one_of(paths(names), st.lists(inner, min_size=1, max_size=2))
    path = st.lists(st.sampled_from(PATH_KEYS), max_size=3).map(".".join)
    branches = {"condition": inner, "then": inner, "else": inner}
    found = [
        _one("$if", st.fixed_dictionaries(branches)),
        *(_one(name, two) for name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")),
        *(_one(name, several) for name in ("$and", "$or", "$concat")),
        *(_one(name, inner) for name in ("$not", "$trim", "$length", "$toString")),
        *(_one(name, path) for name in ("$context", "$item")),
        _one("$join", one_or_two),
        _one("$now", st.just([])),
    ]
    return st.one_of(*found, _loops(inner, depth, names))


def _loops(inner, depth, names):
    @st.composite
    def loop(draw):
        name = draw(st.sampled_from([None, "msg", "each"]))
        each = expressions(depth - 1, (*names, name or "item"))
        made = {draw(st.sampled_from(["array", "items"])): draw(inner)}
        if name is not None:
            made["as"] = name
        if draw(st.booleans()):
            return {
                "$map": {**made, draw(st.sampled_from(["return", "do"])): draw(each)}
            }
        where = draw(
            st.fixed_dictionaries({}, optional={"where": each, "return": each})
        )
        return {"$find": {**made, **where}}

    return loop()


def _one(name, operand):
    return operand.map(lambda value: {name: value})


@functools.cache
def updates():
    keys = st.sampled_from([*KEYS, "$$id"])
    return _one(
        "updateContext",
        st.one_of(
            st.dictionaries(keys, expressions(1), max_size=2), st.just("$$result")
        ),
    )


@functools.cache
def tools():
    form = st.sampled_from(["tool", "actor", "sendToActor"])
    more = {"payload": expressions(1), "onSuccess": updates()}
    return st.tuples(
        form, st.sampled_from(TOOLS), st.fixed_dictionaries({}, optional=more)
    ).map(lambda parts: {parts[0]: parts[1], **parts[2]})


@functools.cache
def actions():
    """One action, or a list of them."""
    event = {"target": st.just("@somebody"), "type": st.sampled_from(EVENTS)}
    query = st.dictionaries(st.sampled_from(KEYS), expressions(1), max_size=2)
    action = st.one_of(
        updates(),
        tools(),
        st.sampled_from(TOOLS),
        _one("sendEvent", st.fixed_dictionaries(event, optional={"payload": query})),
        _one("mapData", st.dictionaries(st.sampled_from(KEYS), query, max_size=2)),
        st.just({"function": True}),
    )
    return st.one_of(action, st.lists(action, max_size=2))


@functools.cache
def guards():
    schema = st.sampled_from(
        [
            True,
            {"required": ["id"]},
            {"properties": {"state": {"enum": ["idle", "busy"]}}},
            {"properties": {"items": {"$ref": "#/$defs/few"}}, "$defs": {"few": {}}},
        ]
    )
    operators = _operations(expressions(0), 1, ())
    return st.one_of(
        st.booleans(),
        st.sampled_from(GUARDS),
        operators,
        _one("schema", schema),
        paths(),
    )


@st.composite
def files(draw):
    """Any file of the form: its states, what leads where, timers."""
    names = draw(st.lists(st.sampled_from(STATES), min_size=1, max_size=4, unique=True))
    target = st.sampled_from(names)
    transition = st.one_of(
        target,
        st.fixed_dictionaries(
            {"target": target}, optional={"guard": guards(), "actions": actions()}
        ),
    )
    transitions = st.one_of(transition, st.lists(transition, min_size=1, max_size=2))
    states = {}
    for name in names:
        on = st.dictionaries(st.sampled_from(EVENTS), transitions, max_size=3)
        parts = {"entry": actions(), "exit": actions(), "on": on}
        states[name] = draw(st.fixed_dictionaries({}, optional=parts))
        events = sorted(states[name].get("on", {}))
        if events and draw(st.booleans()):
            waits = st.sampled_from(["90s", "15m", "3d", "1h30m", "0.5", "3600"])
            timers = st.dictionaries(waits, st.sampled_from(events), max_size=2)
            states[name]["after"] = draw(timers)
    more = draw(st.sampled_from([{}, {"$schema": "@maia/schema/state", "$id": "@a/b"}]))
    return {**more, "initial": draw(target), "states": states}
