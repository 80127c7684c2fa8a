# Two commands stand alone on a fresh machine with Python 3.11 or newer:
#   make demo   install, then train a captioner on examples/food and caption pictures it has never seen
#   make test   install, then lint, types and tests
# Everything is installed into .venv; the demo keeps its store in .demo unless CLIPCAP_HOME says otherwise.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes that run tests, each on one thread; each may take 2 GB.
WORKERS ?= 2
export CLIPCAP_HOME ?= $(CURDIR)/.demo

.PHONY: demo test lint types unit reference clean

demo: $(VENV)/.installed
	@bash examples/demo.sh $(BIN)

test: lint types unit

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.installed-dev
	$(BIN)/mypy

unit: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=$(WORKERS) --durations=10

reference: $(VENV)/.installed-dev
	$(BIN)/python tools/make_reference.py

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "clipcap needs Python 3.11 or newer; this is %d.%d. Name another with: make PYTHON=python3.11 ..." % sys.version_info[:2])'
	@echo "Installing clipcap and what it needs into $(VENV) (about 1.5 GB; a minute or two on a good line)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --editable ".[offline]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what the tests need"
	@$(BIN)/python -m pip install --quiet --editable ".[offline,dev]"
	@touch $@

clean:
	rm -rf $(VENV) .demo
