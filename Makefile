# Everything a newcomer, a developer and the continuous integration need. `make` lists it.
#
# One environment serves all: .venv, with every extra of pyproject.toml and the package itself installed in place, so that
# an edited .py file counts at once. It is made again, and the engine compiled, when a file that the build reads changes.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
BUILD_FILES := pyproject.toml CMakeLists.txt constraints.txt $(wildcard csrc/*.* csrc/*/*)

MINUTES ?= 3
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench docs

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## the environment in .venv and the compiled engine; the others do it by themselves

$(READY): $(BUILD_FILES)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=...")'
	@echo "setting up $(VENV): PyTorch, the tools, the engine (a minute or two, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,plots,test,check]'
	@touch $@

demo: $(READY) ## train a small model on Python's own sources, draw its curves, let it write (5 minutes; MINUTES=3 of training)
	@run=runs/demo-$$(date +%Y%m%d-%H%M%S) && \
	$(BIN)/backtime train --preset demo --minutes $(MINUTES) --out $$run && \
	$(BIN)/backtime sample $$run --prompt 'def ' --length 600 --temperature 0.7 && \
	echo && echo "curves: $$run/curves.svg" && \
	echo "more:   $(BIN)/backtime sample $$run --prompt 'class ' --length 2000"

test: $(READY) ## the test suite (ARGS='-k lstm' narrows it)
	$(BIN)/python -m pytest $(ARGS)

check: $(READY) ## lint, format, types
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

# The peers, only for those who measure: a later change of the engine does not ask for them again.
$(PEERS): pyproject.toml constraints.txt | $(READY)
	@echo "the peers of the benchmarks: JAX, ONNX Runtime (once)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

bench: $(READY) $(PEERS) ## all benchmarks, into benchmarks/RESULTS.md (ARGS=--quick for a rough look)
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(READY) ## follow every link of README and docs, run every Python snippet, parse every command
	$(BIN)/python -m pytest tests/test_house.py -k documents
