# The verbs of this house. `make demo` and `make test` need git, make and Python >= 3.11.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OLDEST ?= .venv-oldest
# Tests wait for disks and servers about half of their time.
WORKERS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) * 3 // 2)")
FRAMEWORKS := adk claude langchain langgraph openai-agents pydantic-ai
FRAMEWORK_TESTS := $(wildcard $(foreach name,adk claude langchain langchain_bytes \
	langgraph langgraph_store openai_agents pydantic_ai tool_once versions, \
	tests/test_$(name).py))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test oldest lint format bench soak clean

demo: $(VENV)/.installed
	$(BIN)/holdfast demo

# What failed beside others is asked once more, alone: docs/decisions/0040.
test: $(VENV)/.installed-dev lint oldest
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal || \
		{ test $$? -eq 1 && $(BIN)/python -m pytest --last-failed \
			--last-failed-no-failures none --maxfail 1; }

# Each process loads all of the frameworks, which takes as long as half of the tests.
# pydantic-ai's conversations came later than what else is used of it.
oldest: $(OLDEST)/.installed
	$(OLDEST)/bin/python -m pytest --oldest --numprocesses 2 $(FRAMEWORK_TESTS) \
		-k 'not book_twice and not two_hundred_turns'
	PYTHONPATH=$(OLDEST)/conversations $(OLDEST)/bin/python -m pytest --oldest \
		tests/test_pydantic_ai_conversations.py tests/test_versions.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/afaces.py --check
	$(BIN)/python tools/reference.py --check

format: $(VENV)/.installed-dev
	$(BIN)/python tools/afaces.py
	$(BIN)/python tools/reference.py
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev
	bench/peers/setup
	$(BIN)/python -m bench

soak: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m soak --timeout 3600
	$(BIN)/python -m pytest --every-face --numprocesses $(WORKERS) --dist worksteal

clean:
	rm -rf $(VENV) $(OLDEST) .bench .bench-venv .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[cli]'
	touch $@

$(OLDEST)/.installed: pyproject.toml tools/oldest.py
	$(PYTHON) -m venv --clear $(OLDEST)
	$(PYTHON) tools/oldest.py $(FRAMEWORKS) >$(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --no-compile \
		--no-binary claude-agent-sdk --constraint $(OLDEST)/constraints.txt \
		--editable '.[test]'
	$(PYTHON) tools/oldest.py pydantic-ai-conversations >$(OLDEST)/conversations.txt
	$(OLDEST)/bin/python -m pip install --quiet --no-compile --no-deps \
		--target $(OLDEST)/conversations --requirement $(OLDEST)/conversations.txt
	touch $@

# Claude's SDK is built from its source: its wheel has 170 MB of a program in it.
$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-binary claude-agent-sdk --editable '.[dev]'
	touch $@ $(VENV)/.installed
