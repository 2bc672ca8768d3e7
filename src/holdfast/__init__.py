"""Holdfast: the state layer for AI agents.

One store holds every kind of state that an agent application has; one transaction can
span them all; one journal records every change. `open` gives a store, `aopen` the same
to be awaited.
"""

from holdfast import errors
from holdfast.care.copying import copy
from holdfast.care.forking import fork
from holdfast.changes import Change
from holdfast.contract import Kind, operation, query
from holdfast.declared import kind
from holdfast.engine import Table
from holdfast.guarantees import Promise
from holdfast.kinds.job_records import Job
from holdfast.kinds.leases import Lease
from holdfast.kinds.session_records import Message, Session
from holdfast.kinds.task_records import Task
from holdfast.limits import Limits
from holdfast.opening import aopen, migration_sql, open
from holdfast.page import Page
from holdfast.runtime.jobs.worker import Worker
from holdfast.store import Store
from holdfast.transaction import OpenTransaction as Transaction

__version__ = "0.1.0"

__all__ = [
    "Change",
    "Job",
    "Kind",
    "Lease",
    "Limits",
    "Message",
    "Page",
    "Promise",
    "Session",
    "Store",
    "Table",
    "Task",
    "Transaction",
    "Worker",
    "aopen",
    "copy",
    "errors",
    "fork",
    "kind",
    "migration_sql",
    "open",
    "operation",
    "query",
]
