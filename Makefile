# make demo: record from the built-in exchange.  make test: lint, types, tests.  Both set everything up first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11) and 'l2vault needs Python 3.11 or newer. Try: make PYTHON=python3.12')

.PHONY: demo test clean

demo: $(VENV)/.recording
	$(BIN)/l2vault record --demo

test: $(VENV)/.development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -n 2

clean:
	rm -rf $(VENV) build dist *.egg-info

$(BIN)/python:
	@$(PYTHON) -c "$(NEW_ENOUGH)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.recording: requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements.txt -e .
	@touch $@

$(VENV)/.development: requirements.txt pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -r requirements.txt -e ".[dev]"
	@touch $@ $(VENV)/.recording
