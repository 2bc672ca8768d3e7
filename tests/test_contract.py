"""t"""
import pytest
import conftest
from holdfast.testing import EngineContract

class TestMemory(EngineContract):
    shared_places = False
    reads_beside_writes = False
    @pytest.fixture
    def target(self):
        return ":memory:"

class TestFile(EngineContract):
    @pytest.fixture
    def target(self, tmp_path):
        return str(tmp_path / "agent.db")

class TestPostgres(EngineContract):
    @pytest.fixture
    def target(self, tmp_path):
        with conftest.place_on("postgres", tmp_path) as target:
            yield target
