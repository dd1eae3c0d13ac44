# Everything runs in the environment .venv, which is made when it is first needed.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: parity test fast lint clean

parity: .venv/users
	$(BIN)/vgg16 parity --report build/parity.json

test: .venv/developers
	$(BIN)/pytest

fast: .venv/developers
	$(BIN)/pytest -m "not full"

lint: .venv/developers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv build

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/users: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[all]"
	mkdir -p build
	touch $@

.venv/developers: .venv/users
	$(BIN)/python -m pip install --quiet -e ".[all,dev]"
	touch $@
