"""The contract's base: what a suite is told of an engine, and what a test is given.

Answers for: the fixtures `target` and `place`, and the attributes by which an engine
says what it cannot have.
Always holds: at the end of each test every engine is closed, and the store was sound.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, TypeVar

import pytest

from holdfast.testing.work import Place

F = TypeVar("F", bound=Callable[..., Any])
_NEEDS = "holdfast_needs"


def needs(*names: str) -> Callable[[F], F]:
    """Mark a test of what not every engine has, by the attributes that say so."""

    def mark(test: F) -> F:
        setattr(test, _NEEDS, names)
        return test

    return mark


class Contract:
    """What the parts of the suite have in common."""

    shared_places: ClassVar[bool] = True
    """Whether two engines opened on one target have the same store."""
    reads_beside_writes: ClassVar[bool] = True
    """Whether a read goes on while a transaction is open."""
    read_only: ClassVar[bool] = True
    """Whether a store can be opened so that nothing is written."""
    forks: ClassVar[bool] = True
    """Whether processes fork here, and an engine knows when they do."""
    patience_seconds: ClassVar[float] = 10.0
    """After how long something that ought to happen counts as hanging."""
    moment_seconds: ClassVar[float] = 0.2
    """For how long it is looked whether something happens that must not."""

    def __init_subclass__(cls) -> None:
        """What this engine cannot have is no test of its suite."""
        super().__init_subclass__()
        for name in dir(cls):
            wanted = getattr(getattr(cls, name), _NEEDS, ())
            if not all(getattr(cls, need) for need in wanted):
                setattr(cls, name, None)

    @pytest.fixture
    def target(self) -> str:
        """Where a store may be made, and none is yet: a path or a URL. Override it."""
        raise NotImplementedError(
            f"{type(self).__name__} has to say where a store may be made: override the "
            "fixture `target` in it"
        )

    @pytest.fixture
    def place(self, target: str) -> Iterator[Place]:
        """Where the engines of a test are opened; sound and closed at its end."""
        place = Place(target, self.patience_seconds)
        try:
            yield place
            place.inspect()
        finally:
            place.close()
