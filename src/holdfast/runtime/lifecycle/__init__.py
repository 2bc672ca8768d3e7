"""The lifecycle: from the start of a program's modules to an orderly end.

In reading order: `lifecycle` is what users hold, `phases` what is told of a life,
`modules` what may be registered, `ordering` who comes after whom; `sequence` is what is
done, in steps, `store_steps` those about the store, `resources` what modules enter;
`control` has what belongs to one life, `runner` leads it on threads (`caller`),
`arunner` on an event loop (`acaller`), both by `calls`; `signals` and `uncaught` errors
are what comes in between, `dumps` what is written then.
"""

from holdfast.runtime.lifecycle.lifecycle import Lifecycle
from holdfast.runtime.lifecycle.phases import LifecycleReport, LifecycleStep, Phase
from holdfast.runtime.lifecycle.resources import Module

__all__ = ["Lifecycle", "LifecycleReport", "LifecycleStep", "Module", "Phase"]
