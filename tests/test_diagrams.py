"""Drawings of machines: what they show, Mermaid, where things stand, pictures."""

import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.cli.machine_charts import Arrow, Chart, Node, Way, chart_of, lasting
from holdfast.cli.machine_pictures import picture
from holdfast.cli.mermaid import mermaid
from holdfast.cli.picture_layout import Line, Size, laid_out
from holdfast.kinds.machine_records import MachineStep
from holdfast.statecharts.specs import Spec, State, spec_of

ORDER = {
    "initial": "placed",
    "states": {
        "placed": {
            "entry": [{"tool": "mail"}, {"updateContext": {"asked": True}}],
            "on": {
                "PAY": [
                    {"target": "paid", "guard": "is_enough"},
                    {"target": "late", "guard": {"$eq": ["$state", 1]}},
                ],
                "REMIND": {"target": "placed", "actions": {"tool": "mail"}},
                "ESCALATE": "late",
            },
            "after": {"3d": "ESCALATE", "90m": "ESCALATE"},
        },
        "late": {"exit": {"tool": "log"}, "on": {"PAY": "paid"}},
        "paid": {},
    },
}
"""An order, with one of everything that a diagram tells."""


def steps(*moves):
    """A machine's history: pairs of an event and the state after it."""
    found, before = [], None
    for position, (event, state) in enumerate(moves):
        note = None if event else "version 1 to 2"
        found.append(
            MachineStep(
                position=position,
                event=event,
                from_state=before,
                to_state=state,
                at=datetime(2026, 11, 20, tzinfo=UTC),
                note=note,
            )
        )
        before = state
    return found


def told(chart):
    return {
        (arrow.source, arrow.target): [way.told() for way in arrow.ways]
        for arrow in chart.arrows
    }


def test_a_chart_tells_guards_timers_and_effects_and_which_steps_went_where():
    reminded = [("REMIND", "placed")] * 4
    history = steps((None, "placed"), *reminded, ("ESCALATE", "late"), ("PAY", "paid"))
    chart = chart_of(spec_of(ORDER), "paid", history)
    assert told(chart) == {
        ("placed", "paid"): ["PAY [is_enough]"],
        ("placed", "late"): [
            'PAY [{"$eq":["$state",1]}]',
            "after 1h30m, 3d ESCALATE (5)",
        ],
        ("placed", "placed"): ["REMIND / mail (4 times)"],
        ("late", "paid"): ["PAY (6)"],
    }
    placed, late, _ = chart.nodes
    assert (placed.does, late.does) == (("entry / mail",), ("exit / log",))
    assert [node.visited for node in chart.nodes] == [True, True, True]
    assert [node.present for node in chart.nodes] == [False, False, True]


def test_what_only_the_history_has_is_drawn_and_marked():
    history = steps((None, "draft"), ("BUY", "draft"), (None, "placed"))
    chart = chart_of(spec_of(ORDER), "placed", [*history, *steps((None, "placed"))])
    assert [node.name for node in chart.nodes if node.gone] == ["draft"]
    gone = {(a.source, a.target): a.gone for a in chart.arrows if a.taken}
    assert gone == {("draft", "draft"): True, ("draft", "placed"): True}
    assert told(chart)["draft", "placed"] == ["version 1 to 2 (2)"]
    history = steps((None, "placed"), (None, "placed"))
    assert not any(
        arrow.taken for arrow in chart_of(spec_of(ORDER), None, history).arrows
    )


@pytest.mark.parametrize(
    ("microseconds", "said"),
    [(0, "0s"), (259_200_000_000, "3d"), (5_400_000_000, "1h30m"), (500_000, "0.5s"),
     (90_061_000_000, "1d1h1m1s")],
)  # fmt: skip
def test_times_are_told_as_definitions_say_them(microseconds, said):
    assert lasting(microseconds) == said


def test_mermaid_shows_the_state_it_is_in_and_the_way_it_has_gone():
    history = steps((None, "placed"), ("PAY", "late"))
    assert mermaid(chart_of(spec_of(ORDER), "late", history)) == (
        "stateDiagram-v2\n"
        '    state "placed" as placed\n'
        "    placed: entry / mail\n"
        '    state "late" as late\n'
        "    late: exit / log\n"
        '    state "paid" as paid\n'
        "    [*] --> placed\n"
        "    placed --> paid: PAY [is_enough]\n"
        "    placed --> late: PAY [#123;#34;#36;eq#34;#58;[#34;#36;state#34;,1]#125;]"
        " (1)<br/>after 1h30m, 3d ESCALATE\n"
        "    placed --> placed: REMIND / mail\n"
        "    late --> paid: PAY\n"
        "    classDef present fill:#1f6feb,stroke:#0b3d91,stroke-width:3px,"
        "color:#ffffff\n"
        "    class late present\n"
        "    classDef visited fill:#dbeafe,stroke:#1f6feb,color:#0b1f44\n"
        "    class placed visited\n"
    )


_WORDS = "state|class|note|end|direction|default|root|style|click|href|scale|hide"
_ID = rf"(?!(?i:{_WORDS})\b)[A-Za-z]\w*"
_LINES = [
    re.compile(line)
    for line in (
        r"stateDiagram-v2",
        rf'    state "(?P<title>[^"\n;]*(?:;[^"\n;]*)*)" as (?P<id>{_ID})',
        rf"    (?P<of>{_ID}): (?P<does>[^\n:]+)",
        rf"    \[\*\] --> {_ID}",
        rf"    (?P<source>{_ID}) --> (?P<target>{_ID}): (?P<label>[^\n:]+)",
        r"    classDef \w+ [\w:#, -]+",
        rf"    class {_ID}(?:,{_ID})* \w+",
    )
]
_OF_ITS_OWN = re.compile(r"direction\s+(TB|BT|LR|RL)|\[\[\w+\]\]|<<", re.IGNORECASE)
_NASTY = st.sampled_from(
    ["end", "state", "Note", "s1", "s2", "s2_", "1. x", "- x", "a:b", "a;b", '"', "%%",
     "#35;", "x --> y", "{", "[*]", "<b>", "_a_", "*a*", "`", "\n", "  ", "[x](y)",
     "$x$", "状態", "é", "\u202e", "Direction TB", "[[fork]]", "href", "default"]
)  # fmt: skip
NAMES = st.lists(_NASTY | st.text(max_size=60), min_size=1, max_size=6, unique=True)


@st.composite
def charts(draw):
    """Charts of any names and arrows, as they come from any definition."""
    names = draw(NAMES)
    ends = st.tuples(st.sampled_from(names), st.sampled_from(names))
    pairs = draw(st.lists(ends, max_size=12, unique=True))
    ways = st.lists(
        st.builds(Way, _NASTY | st.text(min_size=1, max_size=40), st.just((1, 2))),
        min_size=1,
        max_size=3,
    )
    spec = Spec(names[0], {name: State(name) for name in names})
    nodes = chart_of(spec, draw(st.sampled_from(names))).nodes
    arrows = [Arrow(*pair, tuple(draw(ways))) for pair in pairs]
    return Chart(names[0], nodes, tuple(arrows))


def unescaped(text):
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), text)


@given(charts())
@settings(max_examples=60, deadline=None)
def test_no_name_means_anything_to_mermaid(chart):
    ids, titles, arrows = [], [], []
    for line in mermaid(chart).removesuffix("\n").split("\n"):
        assert not _OF_ITS_OWN.search(line), line
        found = next((f for f in (one.fullmatch(line) for one in _LINES) if f), None)
        assert found, line
        groups = found.groupdict()
        if "id" in groups:
            ids.append(groups["id"])
            titles.append(unescaped(groups["title"]))
        if "label" in groups:
            label = unescaped(groups["label"].replace("<br/>", "\n"))
            arrows.append((groups["source"], groups["target"], label))
    assert len(set(ids)) == len(chart.nodes)
    assert titles == [node.title for node in chart.nodes]
    id_of = dict(zip((node.name for node in chart.nodes), ids, strict=True))
    assert arrows == [
        (id_of[a.source], id_of[a.target], "\n".join(way.told() for way in a.ways))
        for a in chart.arrows
    ]


SIZES = st.builds(Size, st.floats(5, 80), st.floats(5, 160), st.floats(10, 90))
BOXES = SIZES.map(lambda size: Size(size.left, size.left + size.right, size.height))
"""Boxes, with what stands on their right."""


@st.composite
def drawings(draw):
    count = draw(st.integers(1, 9))
    boxes = draw(st.lists(BOXES, min_size=count, max_size=count))
    ends = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    pairs = draw(
        st.lists(ends.filter(lambda pair: pair[0] != pair[1]), max_size=18, unique=True)
    )
    return (
        boxes,
        [Line(*pair, draw(SIZES)) for pair in pairs],
        draw(st.integers(0, count - 1)),
    )


def rectangle(middle, size):
    x, y = middle
    return x - size.left, x + size.right, y - size.height / 2, y + size.height / 2


def meets(one, other, spare=0.01):
    left, right, top, bottom = one
    return (
        left < other[1] - spare
        and other[0] < right - spare
        and top < other[3] - spare
        and other[2] < bottom - spare
    )


def along(route):
    """Points on the way of a line: straight pieces, and the bends between them."""
    for number, (here, there) in enumerate(pairwise(route.points)):
        middle = (here[1] + there[1]) / 2
        for part in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
            if number % 2 == 0:
                assert here[0] == there[0]
                yield here[0], here[1] + part * (there[1] - here[1])
            else:
                yield _bend(here, (here[0], middle), (there[0], middle), there, part)


def _bend(a, b, c, d, t):
    s = 1 - t
    weights = s**3, 3 * s * s * t, 3 * s * t * t, t**3
    return tuple(
        sum(w * point[axis] for w, point in zip(weights, (a, b, c, d), strict=True))
        for axis in (0, 1)
    )


@given(drawings())
@settings(max_examples=60, deadline=None)
def test_no_line_crosses_a_box_or_the_label_of_another(drawing):
    boxes, lines, first = drawing
    made = laid_out(boxes, lines, first)
    assert made == laid_out(boxes, lines, first)
    taken = [rectangle(*pair) for pair in zip(made.boxes, boxes, strict=True)]
    labels = [
        rectangle(route.label, line.label)
        for route, line in zip(made.routes, lines, strict=True)
    ]
    assert not any(meets(*pair) for pair in combinations([*taken, *labels], 2))
    assert min(one[0] for one in taken + labels) >= -0.01
    assert max(one[1] for one in taken + labels) <= made.width + 0.01
    assert max(one[3] for one in taken + labels) <= made.height + 0.01
    assert made.boxes[first][1] == min(y for _, y in made.boxes)
    for number, (line, route) in enumerate(zip(lines, made.routes, strict=True)):
        for end, box in ((0, line.source), (-1, line.target)):
            x, y = route.points[end]
            left, right, top, bottom = taken[box]
            assert left <= x <= right
            assert min(abs(y - top), abs(y - bottom)) < 0.01
        others = labels[:number] + labels[number + 1 :]
        for x, y in along(route):
            assert not any(meets((x, x, y, y), one, 0.02) for one in taken + others)


def texts(svg):
    root = ET.fromstring(svg)
    return [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]


def size_of_png(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


def test_a_picture_has_all_texts_as_they_are_and_is_the_same_each_time():
    ways = (Way("$x^2$ <b>&amp;"), Way("後で", (3,)))
    nodes = (Node("a", "状態 $a$", present=True), Node("b", "b", ("entry / @x",)))
    arrows = (Arrow("a", "b", ways), Arrow("b", "b", (Way("AGAIN"),)))
    chart = Chart("a", nodes, arrows)
    svg = picture(chart, "order $1$", "svg")
    assert sorted(texts(svg)) == sorted(
        [
            "order $1$",
            "状態 $a$",
            "b",
            "entry / @x",
            "$x^2$ <b>&amp;",
            "後で (3)",
            "AGAIN",
        ]
    )
    assert svg == picture(chart, "order $1$", "svg")
    assert b"#1f6feb" in svg
    plain = Chart("b", (Node("b", "b"),), ())
    assert b"#1f6feb" not in picture(plain, "", "svg")
    assert min(size_of_png(picture(chart, "order", "png"))) > 100


def test_a_large_machine_is_a_picture_of_a_size_that_can_be_opened():
    names = [f"state {number}" for number in range(110)]
    arrows = [Arrow(*pair, (Way("NEXT"),)) for pair in pairwise(names)]
    arrows += [Arrow(name, names[0], (Way("BACK"),)) for name in names[50::50]]
    chart = Chart(names[0], tuple(Node(name, name) for name in names), tuple(arrows))
    width, height = size_of_png(picture(chart, "", "png"))
    assert height > 5_000
    assert height <= 24_000
    assert width * height <= 51_000_000
