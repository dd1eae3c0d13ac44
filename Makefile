# Everything runs in the environment .venv, which is made when it is first needed.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: parity test fast mutants lint docs wheel clean

parity: .venv/users
	mkdir -p build
	$(BIN)/vgg16 parity --report build/parity.json --html build/parity.html

# pytest runs a process per core: threads would only wait for each other.
test: .venv/developers
	OMP_NUM_THREADS=1 $(BIN)/pytest

fast: .venv/developers
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not full and not slow"

# One room's code is changed, one place at a time: make mutants ROOM=judge SAMPLE=300
ROOM ?= onnx_arbiter
mutants: .venv/developers
	$(BIN)/python -m benchmarks.mutants $(ROOM) $(if $(SAMPLE),--sample $(SAMPLE))

lint: .venv/developers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Not --quiet: warnings that are not said do not count for --strict.
docs: .venv/developers
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Builds build/wheel/*.whl and tries it outside the clone.
wheel: .venv/developers
	.ci/smoke

clean:
	rm -rf .venv build

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "$(PYTHON) is older than Python 3.11; name another: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/users: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e ".[all]"
	touch $@

.venv/developers: .venv/users
	$(BIN)/python -m pip install --quiet -e ".[all,dev,docs]"
	touch $@
