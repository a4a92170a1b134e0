# Two commands are the door: `make demo` and `make test`. Each sets everything up by itself.
PYTHON ?= python3.11
VENV ?= .venv
# Folder of photos for the demo; sample photographs unless given.
PHOTOS ?=
BIN := $(VENV)/bin
SOURCES := $(shell find gair_search indexer benchmarks cli -type f -not -name '*.pyc') README.md pyproject.toml

.PHONY: demo test lint setup clean
.DELETE_ON_ERROR:

demo: setup
	$(BIN)/python examples/demo.py "$(PHOTOS)"

test: setup
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd $(VENV) && bin/mypy --config-file $(CURDIR)/pyproject.toml -p gair_search # the installed package

setup: $(VENV)/.installed

# The libraries first, so that a change of our own code reinstalls our own code alone.
$(VENV)/.libraries: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check '.[dev]'
	touch $@

# A real install, not an editable one: mypy and the tests see what a user gets.
$(VENV)/.installed: $(VENV)/.libraries $(SOURCES)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .
	touch $@

clean:
	rm -rf $(VENV) .demo build *.egg-info
