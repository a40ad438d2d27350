PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: setup demo test lint bench clean

setup: .venv/.stamp

# Torch comes first and alone: with the pinned build in place, nothing that follows can draw in another.
.venv/.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[training,serve,dev]'
	touch $@

demo: setup
	$(BIN)/python examples/demo.py

# One process: two cores are used up by one language model, and the model is loaded once.
test: setup
	$(BIN)/python -m pytest

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

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache
