# Everything a person or the CI does here. Needs a Python of at least 3.11, nothing else.

PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: up test unit integration conformance acceptance check fuzz bench faults oracle mutants lock install extras install-dev clean

up: install  ## the whole system on this machine, until Ctrl-C
	@exec $(BIN)/python manage.py up

test: install-dev  ## all tests, tier by tier
	@$(BIN)/python -m tests

unit integration conformance acceptance: install-dev  ## one tier
	@$(BIN)/python -m tests $@

check:  ## what CI runs: linters, types, layers, migrations, all tests
	@.ci/run

fuzz: install-dev  ## schemathesis drives every operation of the API's description
	@$(BIN)/python -m tests.fuzz

bench: install-dev  ## the benchmarks, each beside its peers
	@$(BIN)/python -m benchmarks --write

faults: install-dev  ## the fault matrix, with real processes
	@$(BIN)/python -m pytest tests/acceptance -v -m faults -p no:cacheprovider

oracle: install-dev  ## years of schedules against an independent implementation
	@$(BIN)/python -m tests.oracle

mutants: install-dev  ## each guard taken out, and the test that notices
	@$(BIN)/python -m tests.mutants

lock: $(BIN)/python  ## dependencies*.in → requirements*.txt: with hashes, without the address of an index
	@$(PIP) install uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		dependencies.in -o requirements.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		dependencies-extras.in -o requirements-extras.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		dependencies-dev.in -o requirements-dev.txt

# --- the virtual environment ------------------------------------------------------------
# The stamps are copies of what was installed: without a change nothing asks the network.

install: $(BIN)/python
	@cmp -s requirements.txt .venv/installed.txt || { \
		echo "installing the dependencies into .venv (once)" && \
		$(PIP) install --require-hashes -r requirements.txt && cp requirements.txt .venv/installed.txt; }

extras: install  ## every optional driver, into .venv
	@$(PIP) install --require-hashes -r requirements-extras.txt

install-dev: install
	@cmp -s requirements-dev.txt .venv/installed-dev.txt || { \
		echo "installing what the tests need into .venv (once)" && \
		$(PIP) install --require-hashes -r requirements-dev.txt && cp requirements-dev.txt .venv/installed-dev.txt; }

# Made anew when its Python is gone, as after an upgrade of the system.
$(BIN)/python: FORCE
	@$@ -c 'import sys, pip' 2>/dev/null || { \
		test -n "$(PYTHON)" || { echo "no Python of at least 3.11 was found: install one, or name it: make up PYTHON=/path/to/python3"; exit 1; }; \
		$(PYTHON) -m venv --clear .venv || { echo "this Python cannot make virtual environments: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }; }

.PHONY: FORCE
FORCE:

clean:  ## remove what tools left behind; keeps .venv and .data
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
