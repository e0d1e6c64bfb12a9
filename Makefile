# Every target does its own set-up: Python 3.11 or newer and a C compiler are enough.
#   make demo     see what it does, on a real web service
#   make quick    most tests, under a minute
#   make test     all tests, on this Python
#   make check    style, types, layers, documentation, coverage gates
# The rest is in CONTRIBUTING.md.

PYTHON ?= python3
VENV ?= .venv
SEEDS ?= 100
OPERATIONS ?= 10000
PEERS ?= anyio aiohttp fastapi starlette websockets
BIN := $(VENV)/bin
NATIVE := $(wildcard src/asyncio_pulse/_native/*/*.[ch])
TESTS := $(wildcard $(addprefix tests/,unit property integration isolated stress thirdparty native architecture typing))
VARIANT := $(or $(ASYNCIO_PULSE_BUILD),release)$(if $(filter 1,$(ASYNCIO_PULSE_WERROR)),-werror)
CORE := $(VENV)/.core-$(VARIANT)

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: demo quick test check bench sanitize stress docs dist test-all test-asyncio test-anyio test-thirdparty test-peers
.PHONY: venv build lint types layers coverage coverage-python coverage-native clean

demo: $(VENV)/.extra-demo $(CORE)
	$(BIN)/asyncio-pulse demo

test: $(VENV)/.extra-test $(CORE)
	tools/run_tests.sh $(BIN)/python $(TESTS)

# The inner loop, under a minute.
quick: $(VENV)/.extra-test $(CORE)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n 2 --dist worksteal -m 'not timing' --hypothesis-profile=quick $$(tools/quick_suites.sh)

check: lint types layers docs coverage

bench: $(VENV)/.extra-bench $(CORE)
	$(BIN)/python -m benchmarks

sanitize: $(VENV)/.extra-test $(CORE)
	tools/sanitize.sh $(BIN)/python

# The whole form of what `make test` runs for some seconds, with its figures; ten minutes of it are one test. Then more
# examples of the properties.
stress: $(VENV)/.extra-test $(CORE)
	ASYNCIO_PULSE_STRESS=1 $(BIN)/python -m pytest -v -rP --show-capture=stdout -o faulthandler_timeout=3600 tests/stress
	$(BIN)/python -m pytest -q --hypothesis-profile=whole -o faulthandler_timeout=3600 tests/property

# Each scenario with a hundred seeds of chaos, ten thousand operations over each pool. Redis and PostgreSQL: as root they
# are installed if they are missing, otherwise what needs them is skipped.
test-thirdparty: $(VENV)/.extra-thirdparty $(CORE)
	tools/services.sh
	ASYNCIO_PULSE_TEST_SEEDS=$(SEEDS) ASYNCIO_PULSE_TEST_OPERATIONS=$(OPERATIONS) $(BIN)/python -m pytest tests/thirdparty

test-all:
	tools/core_tests.sh 3.11 3.12 3.13 3.14

# CPython's own asyncio tests, plain and with every loop governed, of each interpreter.
test-asyncio:
	tools/core_tests.sh --asyncio 3.11 3.12 3.13 3.14

# Those of the newest anyio, likewise, on asyncio and uvloop.
test-anyio:
	tools/core_tests.sh --anyio 3.11 3.12 3.13 3.14

# The own tests of these, governed and under chaos. PEERS=websockets==17.0.1 names another version than the newest.
test-peers:
	tools/peer_tests.sh $(PYTHON) 1 $(PEERS)

docs: $(VENV)/.extra-docs $(CORE)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs
	@echo "docs: build/docs/index.html"

dist: $(VENV)/.extra-dev
	tools/dist.sh $(BIN)/python

lint: $(VENV)/.extra-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@$(BIN)/clang-format --dry-run --Werror $(NATIVE)

# stubtest compares the stub with the compiled core.
types: $(VENV)/.extra-dev $(CORE)
	$(BIN)/mypy src $(wildcard tests/typing/*.py tools/foreign_tests/*.py)
	$(BIN)/python -m mypy.stubtest --allowlist tools/stubtest_allowlist.txt asyncio_pulse._core

layers: $(VENV)/.extra-dev
	$(BIN)/lint-imports

# Two runs, because a trace function changes what the core may do.
coverage: coverage-python coverage-native

coverage-python: $(VENV)/.extra-dev $(CORE)
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -q -n 2 --dist worksteal -m 'not timing' $$(tools/traced_suites.sh)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

coverage-native: $(VENV)/.extra-dev
	tools/coverage_native.sh $(BIN)/python $$(tools/core_suites.sh) tests/native

venv: $(VENV)/.created
build: $(CORE)

clean:
	rm -rf build dist $(VENV) src/asyncio_pulse/_core*.so src/*.egg-info .coverage .coverage.*

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "asyncio-pulse needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip 'setuptools>=77'
	touch $@

# The package is installed in place once per extra, without the core: the rule below builds it, and again after an edit.
$(VENV)/.extra-%: pyproject.toml | $(VENV)/.created
	ASYNCIO_PULSE_BUILD=none $(BIN)/pip install --quiet --no-build-isolation --editable '.[$*]'
	touch $@

# The object in the source tree is one for all variants: a change of variant rebuilds it, whatever the times say.
ifeq ($(wildcard src/asyncio_pulse/_core.*.so),)
.PHONY: $(CORE)
endif
$(CORE): $(NATIVE) setup.py | $(VENV)/.created
	rm -f $(VENV)/.core-*
	$(BIN)/python setup.py --quiet build_ext --inplace --force
	touch $@
