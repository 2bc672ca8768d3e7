"""Testing: the engine's contract suite, for whoever writes another engine.

    class TestMine(holdfast.testing.EngineContract):
        @pytest.fixture
        def target(self, tmp_path):
            return f"mine://{tmp_path}/agent"

Answers for: what every engine promises, each promise as a test that pytest collects.
Leaves to others: what kinds mean (their own tests), what one engine alone promises.
Always holds: only what a store asks of an engine is used, and what stands in
`holdfast.engine`; what an engine cannot have is not collected, rather than skipped.
"""

try:
    import pytest
except ImportError as error:
    raise ImportError(
        "holdfast.testing is for tests under pytest, which is not installed: "
        "pip install pytest"
    ) from error

_ROOMS = (
    "beside",
    "bodies",
    "contract",
    "endings",
    "journals",
    "loans",
    "opening",
    "reads",
    "records",
    "statements",
    "stores",
    "tellings",
    "units",
    "watching",
    "work",
)
pytest.register_assert_rewrite(*(f"{__name__}.{room}" for room in _ROOMS))

from holdfast.testing.beside import BesideContract  # noqa: E402  # rewritten first
from holdfast.testing.bodies import BodiesContract  # noqa: E402
from holdfast.testing.endings import EndingsContract  # noqa: E402
from holdfast.testing.journals import JournalsContract  # noqa: E402
from holdfast.testing.loans import LoansContract  # noqa: E402
from holdfast.testing.opening import OpeningContract  # noqa: E402
from holdfast.testing.reads import ReadsContract  # noqa: E402
from holdfast.testing.records import RecordsContract  # noqa: E402
from holdfast.testing.statements import StatementsContract  # noqa: E402
from holdfast.testing.stores import StoresContract  # noqa: E402
from holdfast.testing.tellings import TellingsContract  # noqa: E402
from holdfast.testing.units import UnitsContract  # noqa: E402
from holdfast.testing.watching import WatchingContract  # noqa: E402


class EngineContract(
    UnitsContract,
    StatementsContract,
    ReadsContract,
    BodiesContract,
    LoansContract,
    RecordsContract,
    JournalsContract,
    WatchingContract,
    TellingsContract,
    BesideContract,
    StoresContract,
    OpeningContract,
    EndingsContract,
):
    """All that an engine promises. Derive from it, and say where a store may be made.

    Override the fixture `target`; set what your engine cannot have, such as
    `shared_places`, to False.
    """


__all__ = ["EngineContract"]
