# Everything a newcomer, a developer and the continuous integration need. `make` lists it.
#
# One environment serves all: .venv, with every extra of pyproject.toml and the package itself installed in place, so that
# an edited .py file counts at once. It is made again, and the engine compiled, when a file that the build reads changes.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PEERS := $(VENV)/.peers
CSRC := $(wildcard csrc/*.* csrc/*/*)
BUILD_FILES := pyproject.toml CMakeLists.txt constraints.txt $(CSRC)

MINUTES ?= 3
SANITIZE ?= address,undefined
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all format check bench docs wheel arm64 sanitize

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## the environment in .venv and the compiled engine; the others do it by themselves

$(READY): $(BUILD_FILES)
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; name one: make PYTHON=...")'
	@echo "setting up $(VENV): PyTorch, the tools, the engine (a minute or two, once)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,plots,images,parquet,music,subword,audio,metrics,estimators,insight,export,serve,test,check]'
	@touch $@

demo: $(READY) ## train a small model on Python's own sources, draw its curves, let it write (5 minutes; MINUTES=3 of training)
	@run=runs/demo-$$(date +%Y%m%d-%H%M%S) && \
	$(BIN)/backtime train --preset demo --minutes $(MINUTES) --out $$run && \
	$(BIN)/backtime sample $$run --prompt 'def ' --length 600 --temperature 0.7 && \
	echo && echo "curves: $$run/curves.svg" && \
	echo "more:   $(BIN)/backtime sample $$run --prompt 'class ' --length 2000"

# Two at a time, each with one thread of PyTorch's and two of the engine's own.
PYTEST := OMP_NUM_THREADS=1 BACKTIME_NUM_THREADS=2 $(BIN)/python -m pytest -n 2 --dist loadfile

test: $(READY) ## the quick tests, two minutes (ARGS='-k lstm' narrows them)
	$(PYTEST) -m "not slow and not alone" $(ARGS)

test-all: $(READY) ## every test: the slow ones, and, one by one on PyTorch's threads, those that no other may disturb
	$(PYTEST) -m "not alone" $(ARGS)
	$(BIN)/python -m pytest -m alone $(ARGS)

format: $(READY) ## format Python and C++ sources
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/clang-format -i $(CSRC)

check: $(READY) ## lint, format, types
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/clang-format --dry-run -Werror $(CSRC)
	$(BIN)/mypy

# The peers, only for those who measure: a later change of the engine does not ask for them again.
$(PEERS): pyproject.toml constraints.txt | $(READY)
	@echo "the peers of the benchmarks: JAX, ONNX Runtime (once)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

bench: $(READY) $(PEERS) ## all benchmarks, into benchmarks/RESULTS.md (ARGS=--quick for a rough look)
	$(BIN)/python -m benchmarks $(ARGS)

docs: $(READY) ## follow every link of README and docs, run every Python snippet, parse every command
	$(BIN)/python -m pytest tests/test_documents.py

wheel: $(READY) ## wheels and a source distribution into dist/, each tried beside NumPy alone (VERSIONS="3.11 3.12" makes fewer)
	@.ci/wheels

arm64: $(READY) ## the engine and its tests on 64-bit ARM, emulated (some 20 minutes)
	@.ci/arm64 $(ARGS)

# The sanitizers want their runtime loaded first. A copy of the package holds the module, so that the one in use stays
# (sitecustomize puts it before the package installed in place). Python keeps what it allocates: no search for leaks. A size
# that no memory has is an exception, as without it. PyTorch is no part of it: its tests are left out, and so are the threads
# of NumPy's BLAS, whose locks the sanitizer does not see. What is written to standard error is shown as it comes: a report.
comma := ,
SANITIZER := $(firstword $(subst $(comma), ,$(SANITIZE)))
SANITIZED := build/sanitize/$(SANITIZER)
SANITIZER_RUNTIME_address = libasan.so libstdc++.so
SANITIZER_RUNTIME_thread = libtsan.so libstdc++.so
SANITIZER_RUNTIME = $(foreach library,$(SANITIZER_RUNTIME_$(SANITIZER)),$(shell g++ -print-file-name=$(library)))
SANITIZED_BY_address = bidirectional bindings engine engine_options functions fuzz gru jordan last_use losses lstm paired ragged rnn stack
SANITIZED_BY_thread = bindings bidirectional engine engine_options last_use losses paired stack team
SANITIZER_TESTS = $(patsubst %,tests/test_%.py,$(SANITIZED_BY_$(SANITIZER)))
# A forked child may not start threads under it, and 256 threads would take it minutes.
SANITIZER_LESS_thread = and not fork and not child and not more

sanitize: $(READY) ## the engine's tests under AddressSanitizer and UBSan (SANITIZE=thread for ThreadSanitizer)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt cmake ninja nanobind
	$(BIN)/cmake -G Ninja -S . -B $(SANITIZED) -DCMAKE_BUILD_TYPE=None -DBACKTIME_SANITIZE=$(SANITIZE) \
	  -DPython_EXECUTABLE=$(abspath $(BIN))/python -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja > /dev/null
	$(BIN)/cmake --build $(SANITIZED)
	rm -rf $(SANITIZED)/package && mkdir $(SANITIZED)/package && cp -r src/backtime $(SANITIZED)/package/
	cp --remove-destination $(SANITIZED)/_engine*.so $(SANITIZED)/package/backtime/
	echo 'import sys; sys.meta_path[:] = [f for f in sys.meta_path if "ScikitBuild" not in type(f).__name__]' \
	  > $(SANITIZED)/package/sitecustomize.py
	LD_PRELOAD="$(SANITIZER_RUNTIME)" PYTHONPATH=$(CURDIR)/$(SANITIZED)/package BACKTIME_REQUIRE_ENGINE=1 OPENBLAS_NUM_THREADS=1 \
	  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 TSAN_OPTIONS=halt_on_error=1 UBSAN_OPTIONS=print_stacktrace=1 \
	  $(BIN)/python -m pytest -x --capture=sys -p no:cacheprovider -k 'not torch $(SANITIZER_LESS_$(SANITIZER))' $(SANITIZER_TESTS) $(ARGS)
