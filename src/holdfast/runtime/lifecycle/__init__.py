"""The lifecycle: from the start of a program's modules to an orderly end.

In reading order: `lifecycle` is what users hold, `phases` what is told of a life,
`modules` what may be registered, `ordering` who comes after whom; `course` is what is
done, in steps, `own` those of the lifecycle itself, `things` what modules enter; `life`
has the parts together, `living` leads it on threads (`calling`), `aliving` on an event
loop (`acalling`); `signals` and `alarms` are what comes in between, `dumping` and
`dumps` what is written then.
"""

from holdfast.runtime.lifecycle.lifecycle import Lifecycle
from holdfast.runtime.lifecycle.phases import LifecycleReport, LifecycleStep, Phase
from holdfast.runtime.lifecycle.things import Module

__all__ = ["Lifecycle", "LifecycleReport", "LifecycleStep", "Module", "Phase"]
