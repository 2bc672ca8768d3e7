"""Ordering: modules in the order in which each comes after what it needs.

Answers for: that order, and naming what stands in its way.
Always holds: where needs leave it open, modules stand as they were registered.
"""

from collections.abc import Mapping

from holdfast.errors import Refused
from holdfast.runtime.lifecycle.modules import OURS, Plan


def ordered(plans: Mapping[str, Plan]) -> list[str]:
    """The names in order. Raises `Refused`, naming a cycle or what nobody registered.

    Of `needs` and `after`, the former must be there.
    """
    _refuse_unknown(plans)
    placed: dict[str, None] = {}
    left = dict(plans)
    while left:
        free = next((n for n in left if not _before(left[n], left)), None)
        if free is None:
            raise Refused(
                f"modules wait for each other: {' → '.join(_cycle(left))}; nothing was "
                "started: take away one of these needs"
            )
        placed[free] = None
        del left[free]
    return list(placed)


def needing(plans: Mapping[str, Plan], names: set[str]) -> set[str]:
    """Who needs one of these, directly or through others."""
    found = set(names)
    while more := {
        plan.name
        for plan in plans.values()
        if plan.name not in found and not found.isdisjoint(plan.needs)
    }:
        found |= more
    return found - names


def _before(plan: Plan, left: Mapping[str, Plan]) -> list[str]:
    """What has to come before it, of those that are left."""
    return [name for name in (*plan.needs, *plan.after) if name in left]


def _refuse_unknown(plans: Mapping[str, Plan]) -> None:
    for plan in plans.values():
        for name in plan.needs:
            if name not in plans and name not in OURS:
                raise Refused(
                    f"module {plan.name!r} needs {name!r}, which nobody registered; "
                    f"nothing was started: there are {', '.join((*plans, *OURS))}"
                )


def _cycle(left: Mapping[str, Plan]) -> list[str]:
    """A way from a module back to itself, along what each waits for."""
    way = [next(iter(left))]
    while (following := _before(left[way[-1]], left)[0]) not in way:
        way.append(following)
    return [*way[way.index(following) :], following]
