# make demo: record from the built-in exchange.  make test: lint, types, tests.  Both set everything up first.
# make torture: 500 schedules of faults (a quarter of an hour).  make soak: a day of exchange time (over half an hour).
# make mutants: 300 small faults planted one at a time, to see the tests fail (under an hour on 2 cores).
# make bench: what it costs beside other clients (half an hour); make bench BENCH=--quick to see that it works.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11) and 'l2vault needs Python 3.11 or newer. Try: make PYTHON=python3.12')

.PHONY: demo test torture soak mutants bench clean

demo: $(VENV)/.recording
	$(BIN)/l2vault record --demo

test: $(VENV)/.development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -n 2

torture: $(VENV)/.development
	$(BIN)/python benchmarks/rough.py
	$(BIN)/python benchmarks/torture.py

soak: $(VENV)/.development
	$(BIN)/python benchmarks/soak.py

mutants: $(VENV)/.development
	$(BIN)/python benchmarks/mutants.py

bench: $(VENV)/.development
	$(BIN)/python benchmarks/bench_all.py $(BENCH)

clean:
	rm -rf $(VENV) build dist *.egg-info

# pip comes last into a new .venv, so one without it was cut short and is made again.
$(BIN)/pip:
	@$(PYTHON) -c "$(NEW_ENOUGH)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/.recording: requirements.txt pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet -r requirements.txt -e .
	@touch $@

$(VENV)/.development: requirements.txt pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet -r requirements.txt -e ".[dev]"
	@touch $@ $(VENV)/.recording
