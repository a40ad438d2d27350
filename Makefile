PYTHON ?= python3.11
BIN := .venv/bin

# Python keeps what it compiles even where the environment says that it should not: the tests start it more than a hundred
# times, and to compile the modules of one command takes ten seconds.
export PYTHONDONTWRITEBYTECODE =

.PHONY: setup demo test lint bench clean

setup: .venv/.stamp

# Torch is installed first and alone: with the pinned build in place, nothing installed later brings in another. Python
# compiles a module when it is first imported: to compile all 30,000 during the installation takes a minute longer.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

.venv/.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) torch==2.13.0
	$(PIP_INSTALL) -e '.[training,serve,dev]'
	touch $@

demo: setup
	$(BIN)/python examples/demo.py

# Two processes with one thread each use two cores better than one process with two threads. The model of the tests is fetched
# before both of them ask for it. With COVERAGE=1 the lines that the tests run are counted, which takes about an eighth longer.
test: setup
	$(BIN)/halluc models pull smollm2-135m
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=30 $(if $(COVERAGE),--cov --cov-report=term:skip-covered)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff check --quiet --preview --select DOC102 .  # no docstring describes a parameter that does not exist
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python benchmarks/retrieval.py
	$(BIN)/python benchmarks/grounding.py
	$(BIN)/python benchmarks/calibration.py
	$(BIN)/python benchmarks/calibration_intervals.py --draws 100 --sizes 300 1000
	$(BIN)/python benchmarks/calibration_guarantees.py --draws 200

clean:
	rm -rf .venv build dist .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .grimp_cache
