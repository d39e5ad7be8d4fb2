# make demo: record from the built-in exchange.  make test: lint, types, tests.  Both set everything up first.
# make torture: 500 schedules of faults (a quarter of an hour).  make soak: a day of exchange time (over half an hour).
# make kills: each verb of history killed at 20 moments and refused by a full disk, then run again (10 minutes).
# make pictures: draws those of the documents.  make docs: the documents as a site.
# make mutants: 300 small faults planted one at a time, to see the tests fail (under an hour on 2 cores).
# make chance: 300 made-up markets, to see that an edge is found where one is, and nowhere else (10 minutes on 2 cores).
# make history: OKX's archive fetched, backfilled, repaired, audited and exported, each slot judged (under 20 minutes on 2 cores).
# make consumers: hftbacktest, nautilus_trader and tardis-dev read our exports and replays and come to the same books
#   (12 minutes; it installs them).
# make bench: what it costs beside other clients (half an hour); make bench BENCH=--quick to see that it works.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LOOK := '  ./l2 walls BTC-USDT-SWAP --vault demo' '  ./l2 heatmap BTC-USDT-SWAP --vault demo --plot demo.png' \
	'  ./l2 show BTC-USDT-SWAP --vault demo' '  ./l2 screen --vault demo'
PAGE := The last of these opens http://127.0.0.1:8420/ in the browser:
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11) and 'l2vault needs Python 3.11 or newer. Try: make PYTHON=python3.12')

.PHONY: demo test torture kills soak mutants chance history consumers bench pictures docs clean

# Recording begins with the small set of packages; those for reading are installed meanwhile. Ctrl-C ends the recording alone.
demo: $(VENV)/.recording
	@trap : INT; \
	if [ ! -e $(VENV)/.screen ]; then \
		( $(BIN)/python -m pip install --quiet -e ".[screen]" && touch $(VENV)/.screen ) >$(VENV)/screen.log 2>&1 & \
	fi; \
	echo "Made-up books of two instruments go to demo/ until Ctrl-C. Look at them from another terminal, or afterwards. $(PAGE)"; \
	printf '%s\n' $(LOOK); \
	$(BIN)/l2vault record --demo; code=$$?; \
	[ -e $(VENV)/.screen ] || echo "Installing the packages for reading, about a minute ..."; \
	wait; \
	if [ ! -e $(VENV)/.screen ]; then \
		cat $(VENV)/screen.log; echo "Installing the packages for reading failed. Try: make demo again"; exit 1; \
	fi; \
	echo "Now look at what was recorded. $(PAGE)"; \
	printf '%s\n' $(LOOK); \
	exit $$code

# The tests start Python some hundred times: what is compiled is kept, whatever the shell says.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.development
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

torture: $(VENV)/.development
	$(BIN)/python benchmarks/rough.py
	$(BIN)/python benchmarks/hostile.py
	$(BIN)/python benchmarks/torture.py

kills: $(VENV)/.development
	$(BIN)/python benchmarks/kills.py

soak: $(VENV)/.development
	$(BIN)/python benchmarks/soak.py

# The pictures and the answers in README.md and docs/, drawn anew.
pictures: $(VENV)/.development
	$(BIN)/python benchmarks/draw_pictures.py

# The documents as a site in build/site, offline; a link or an anchor that leads nowhere fails it.
docs: $(VENV)/.documents
	$(BIN)/zensical build --strict --clean

mutants: $(VENV)/.development
	$(BIN)/python benchmarks/mutants.py

chance: $(VENV)/.development
	$(BIN)/python benchmarks/chance.py

history: $(VENV)/.development
	$(BIN)/python benchmarks/history.py

consumers: $(VENV)/.development
	$(BIN)/python benchmarks/consumers.py

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
	@touch $@ $(VENV)/.recording $(VENV)/.screen

$(VENV)/.documents: pyproject.toml | $(BIN)/pip
	$(BIN)/python -m pip install --quiet -e ".[docs]"
	@touch $@
