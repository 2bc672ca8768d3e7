"""Once: what a tool does, done once, whichever framework calls it.

    first parameter     where its effect is    what makes it happen once
    `tx`                in the store           it is committed with its result
    `key`               outside                the other side takes each key once

Answers for: reading a user's function, making of it the one that a framework is given,
running it once under a key.
Leaves to others: which key a call has, how its framework hands over where it stands
(each integration).
Always holds: what a tool with `tx` did is there if and only if its result is; one with
`key` has the same key at each try, and is not called again once its result is kept. One
that raises has kept no result.
"""

import asyncio
import inspect
from collections.abc import Callable, Collection
from contextlib import suppress
from hashlib import sha256
from inspect import BoundArguments, Parameter, Signature
from typing import Any, TypeAlias

import msgspec

from holdfast import Store, Task, codec, edges
from holdfast.astore import AsyncStore
from holdfast.errors import BadInput, NotFound, WrongType
from holdfast.limits import Limits
from holdfast.transaction import OpenTransaction

Json: TypeAlias = Any
_INSIDE, _OUTSIDE = "tx", "key"
_BY_POSITION = {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
_COMPLETED = "completed"
_DIGEST_CHARACTERS = 32
_ERROR_CHARACTERS = 2_000


class Effect(msgspec.Struct, frozen=True):
    """A user's function: where its effect is, and what it takes besides."""

    function: Callable[..., Any]
    name: str
    inside: bool
    awaited: bool
    takes: Signature


class Call(msgspec.Struct, frozen=True):
    """One call of a tool, which counts once under its key.

    `ready(tx)` raises if it may not be begun yet; `keep(tx, result)` says, where it
    ends, what is kept of its result. Of what it was called with, its task shows what is
    `shown` (None: all), as far as that is JSON. It `waits` for somebody, and has not
    failed, if it raises one of these.
    """

    effect: Effect
    key: str
    given: BoundArguments
    ready: Callable[[OpenTransaction], None] = lambda _: None
    keep: Callable[[OpenTransaction, Any], Json] = lambda _, result: result
    shown: Collection[str] | None = None
    waits: tuple[type[Exception], ...] = ()

    def made(self, first: object) -> Any:
        """What the function gives for `tx` or `key` and what it was called with."""
        return self.effect.function(first, *self.given.args, **self.given.kwargs)


def effect_of(function: Callable[..., Any]) -> Effect:
    """Read a user's function. Raises `WrongType`, `InvalidId` (its name)."""
    if not inspect.isroutine(function):
        raise _unfit(function, "it is no function: put tool_once right above `def`")
    signature = inspect.signature(function)
    parameters = [*signature.parameters.values()]
    if not parameters or parameters[0].kind not in _BY_POSITION:
        raise _unfit(function, "it takes nothing by position")
    first, *rest = parameters
    if first.name not in {_INSIDE, _OUTSIDE}:
        raise _unfit(function, f"what it takes first is {first.name!r}")
    inside = first.name == _INSIDE
    awaited = inspect.iscoroutinefunction(function)
    if inside and awaited:
        raise _unfit(function, "with `tx` it is a plain function: it awaits nothing")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise _unfit(function, "it yields, and has no one result")
    name = edges.name_of(function.__name__.strip("_"), "tool_once: a name", Limits())
    takes = _resolved(function, signature.replace(parameters=rest))
    return Effect(function, name, inside, awaited, takes)


def tool_of(
    effect: Effect,
    call: Callable[[Any, BoundArguments], Any],
    given: Parameter,
    *,
    awaited: bool,
) -> Callable[..., Any]:
    """The function that a framework is given: it comes down to `call`.

    `given` is the parameter by which the framework says where the call stands; its
    value is the first that `call` gets. If the user's function has one of that name,
    both get it. With `awaited`, `call` is a coroutine function, and so is the tool.
    """
    own = given.name in effect.takes.parameters
    signature = effect.takes if own else _with(effect.takes, given)

    def bound(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found = signature.bind(*args, **kwargs).arguments
        place = found[given.name] if own else found.pop(given.name)
        return call(place, BoundArguments(effect.takes, found))

    async def atool(*args: Any, **kwargs: Any) -> Any:
        return await bound(args, kwargs)

    def tool(*args: Any, **kwargs: Any) -> Any:
        return bound(args, kwargs)

    return _named(atool if awaited else tool, effect, signature)


def key_of(name: str, *place: Json) -> str:
    """The key of a tool's call: its name, and a digest of where the call stands."""
    said = codec.document([name, *place]).text
    return f"{name}:{sha256(said.encode()).hexdigest()[:_DIGEST_CHARACTERS]}"


def done(store: Store, call: Call) -> Json:
    """What is kept of a call's result: of this time, or of the first.

    Raises `Refused` (the task of a call outside was cancelled), and what the function
    and `ready` raise.
    """
    if call.effect.inside:
        return store.run(_whole, call, once=call.key)
    task = store.run(_begun, call)
    if task.status == _COMPLETED:
        return task.result
    try:
        result = call.made(call.key)
    except Exception as error:
        store.run(_stopped, call, error)
        raise
    return store.run(_ended, call, result)


async def adone(store: AsyncStore, call: Call) -> Json:
    """As `done`; a function outside of the store that is not awaited has a thread."""
    if call.effect.inside:
        return await store.run(_whole, call, once=call.key)
    task = await store.run(_begun, call)
    if task.status == _COMPLETED:
        return task.result
    try:
        if call.effect.awaited:
            result = await call.made(call.key)
        else:
            result = await asyncio.to_thread(call.made, call.key)
    except Exception as error:
        await store.run(_stopped, call, error)
        raise
    return await store.run(_ended, call, result)


def _whole(tx: OpenTransaction, call: Call) -> Json:
    call.ready(tx)
    return call.keep(tx, call.made(tx))


def _begun(tx: OpenTransaction, call: Call) -> Task:
    """The task that stands for a call: started, unless it is completed."""
    call.ready(tx)
    task = _task(tx, call.key)
    if task is None:
        name = call.effect.name
        task = tx.tasks.create(name, id=call.key, tool=name, metadata=_about(call))
    if task.status in {"in_progress", _COMPLETED}:
        return task
    return tx.tasks.start(task.id)


def _ended(tx: OpenTransaction, call: Call, result: Any) -> Json:
    task = tx.tasks.get(call.key)
    if task.status == _COMPLETED:
        return task.result
    if task.status != "in_progress":  # another try of it has failed meanwhile
        tx.tasks.start(task.id)
    return tx.tasks.complete(task.id, call.keep(tx, result)).result


def _stopped(tx: OpenTransaction, call: Call, error: Exception) -> None:
    if tx.tasks.get(call.key).status != "in_progress":
        return
    if isinstance(error, call.waits):
        tx.tasks.hold(call.key)
    else:
        said = f"{type(error).__name__}: {error}"
        tx.tasks.fail(call.key, said[:_ERROR_CHARACTERS])


def _task(tx: OpenTransaction, id: str) -> Task | None:
    try:
        return tx.tasks.get(id)
    except NotFound:
        return None


def _about(call: Call) -> dict[str, Any] | None:
    """What a tool was called with, for who looks at its task."""
    arguments = {}
    for name, value in call.given.arguments.items():
        if call.shown is None or name in call.shown:
            with suppress(BadInput):
                arguments[name] = codec.document(value).value
    return {"arguments": arguments} if arguments else None


def _resolved(function: Callable[..., Any], signature: Signature) -> Signature:
    """A signature whose annotations are types; one that cannot be found stays text."""
    parameters = [
        parameter.replace(annotation=_type(function, parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    returned = _type(function, signature.return_annotation)
    return signature.replace(parameters=parameters, return_annotation=returned)


def _type(function: Callable[..., Any], annotation: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        known = inspect.getclosurevars(function).nonlocals
        return eval(annotation, getattr(function, "__globals__", {}), dict(known))  # noqa: S307  # as typing does
    except Exception:  # whatever it is, the framework will tell
        return annotation


def _with(takes: Signature, given: Parameter) -> Signature:
    """A signature with one parameter more, the first or the last of its kind."""
    parameters = [*takes.parameters.values()]
    if given.kind is not Parameter.KEYWORD_ONLY:
        return takes.replace(parameters=[given, *parameters])
    at = len(parameters)
    if parameters and parameters[-1].kind is Parameter.VAR_KEYWORD:
        at -= 1
    return takes.replace(parameters=[*parameters[:at], given, *parameters[at:]])


def _named(
    tool: Callable[..., Any], effect: Effect, signature: Signature
) -> Callable[..., Any]:
    """A function that is read as the user's, but for what it takes."""
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(tool, name, getattr(effect.function, name))
    tool.__annotations__ = {
        parameter.name: parameter.annotation
        for parameter in signature.parameters.values()
        if parameter.annotation is not Parameter.empty
    }
    if signature.return_annotation is not Signature.empty:
        tool.__annotations__["return"] = signature.return_annotation
    tool.__signature__ = signature  # type: ignore[attr-defined]
    return tool


def _unfit(function: object, why: str) -> WrongType:
    name = getattr(function, "__name__", type(function).__name__)
    return WrongType(
        f"tool_once: {name!r} cannot be run once, for {why}; its first parameter is to "
        "be `tx`, if what it does is in the store, or `key`, if it is outside"
    )
