# Two commands are the door: `make demo` and `make test`. Each sets everything up by itself.
PYTHON ?= python3.11
VENV ?= .venv
# Folder of photos for the demo; sample photographs unless given.
PHOTOS ?=
# Modules for the mutants; all that tests/mutants/modules.toml lists unless given.
MODULES ?=
BIN := $(VENV)/bin

.PHONY: demo test test-all test-wheel mutants lint docs setup clean
.DELETE_ON_ERROR:

demo: setup
	$(BIN)/python examples/demo.py "$(PHOTOS)"

# What a newcomer needs to see pass, in a few minutes.
test: setup
	$(BIN)/pytest -m "not slow"

test-all: setup
	$(BIN)/pytest

# The same tests on what `pip install` gives a user: the wheel, in a folder that stands before the checkout.
test-wheel: setup
	rm -rf build dist
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target build/wheel dist/*.whl
	PYTHONPATH=$(CURDIR)/build/wheel GAIR_TEST_WHEEL=1 $(BIN)/pytest

# Changes the code in small ways, and sees whether a test notices; hours, and it goes on where it was cut off.
mutants: setup
	$(BIN)/python tests/mutants/run.py $(MODULES)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir build/site

setup: $(VENV)/.installed

# An editable install: an edit is seen at once, and only new requirements need this again.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .demo build dist *.egg-info
