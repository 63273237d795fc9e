# What CI calls is what you call. Every target does the set-up it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# `fast` while developing; `release` is what users get (demo, wheel, benches).
PROFILE ?= fast
TARGET := $(or $(CARGO_TARGET_DIR),target)
NATIVE := python/backstay/_core.abi3.so
EXAMPLE := examples/assistant
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

.PHONY: setup
setup: $(VENV)/.ready ## Make the virtual environment with the pinned tools
$(VENV)/.ready: pyproject.toml tools/requirements.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade 'pip>=25.1'
	$(BIN)/python tools/requirements.py | $(BIN)/python -m pip install -q -r /dev/stdin --group dev
	@touch $@

.PHONY: build
build: setup ## Build the extension and the keeper in place
	cargo build -q --profile $(PROFILE) -p backstay-keeper -p backstay-py
	@tools/place $(TARGET)/$(PROFILE)
	@$(BIN)/python tools/editable.py

.PHONY: fmt
fmt: setup ## Format Rust and Python
	cargo fmt
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: lint
lint: build ## Every linter, no warning allowed
	cargo fmt --check
	cargo clippy -q --workspace --all-targets -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	tools/stubs --check

.PHONY: stubs
stubs: build ## Regenerate the extension's type stubs
	tools/stubs

.PHONY: test-rust
test-rust: ## The Rust tests; they need no interpreter
	$(if $(EXPLORE),,$(if $(SEED),PROPTEST_RNG_SEED=$(SEED))) cargo test -q --workspace

.PHONY: test-loom
test-loom: export RUSTFLAGS := --cfg loom
test-loom: export LOOM_MAX_PREEMPTIONS := 3
test-loom: ## The lock-free parts of the ledger under every interleaving
	cargo test -q --profile fast --target-dir $(TARGET)/loom -p backstay-ledger --lib loom

.PHONY: test-miri
test-miri: export MIRIFLAGS := -Zmiri-preemption-rate=0.2 -Zmiri-disable-isolation
test-miri: ## The marks of the metrics under Miri, which needs a nightly toolchain; says so where there is none
	@if cargo +nightly miri --version >/dev/null 2>&1; \
	then cargo +nightly miri test -q --target-dir $(TARGET)/miri -p backstay-telemetry --lib block; \
	else echo "no Miri here: rustup toolchain install nightly --component miri,rust-src"; fi

.PHONY: fuzz
SECONDS ?= 60
fuzz: setup ## Feed whatever reads others' bytes with a fuzzer's, SECONDS a target, two at a time
	$(if $(EXPLORE),,$(if $(SEED),SEED=$(SEED))) $(BIN)/python tools/fuzz.py $(SECONDS)

.PHONY: test-node
test-node: tests/node_modules/.ready
tests/node_modules/.ready: tests/package-lock.json
	cd tests && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: test-python
test-python: build test-node ## The Python tests, against the built extension and real servers
	$(BIN)/pytest -q -m 'not full'

.PHONY: instructions
instructions: setup ## Instructions an operation, against the stored baseline; independent of the machine's load
	$(BIN)/python benches/python/instructions.py

# Property tests take the same examples, the fuzzer begins from the same seeds; what explores is `make fuzz` and test-full.
.PHONY: test
test: SEED ?= 1
test: lint test-rust test-loom instructions fuzz test-python ## All that must hold before a commit lands

.PHONY: soak
soak: ## 100 million operations over the core structures; memory must stay flat
	cargo run -q --release -p backstay-benches --bin soak

.PHONY: soak-gateway
SOAK ?= 3600
soak-gateway: setup ## Calls through the gateway for an hour, sessions opened and ended; memory must stay flat
	$(BIN)/python benches/python/gateway --soak $(SOAK)

.PHONY: memcheck
memcheck: build ## No leak and no wrong access: a short soak, and the hand-written methods, under valgrind
	tools/memcheck

.PHONY: test-full
test-full: SECONDS := 600
test-full: export EXPLORE := yes
test-full: test soak soak-gateway memcheck test-miri ## And what takes longer: cold installs, soaks, ten minutes of fuzzing a target
	$(BIN)/pytest -q -m full

# For the machine at hand, in a folder of its own: other flags would rebuild everything else.
NATIVE_CARGO = CARGO_TARGET_DIR=$(abspath $(TARGET))/native cargo --config 'build.rustflags=["-C", "target-cpu=native"]'

.PHONY: bench
bench: ## Comparisons with what a user would otherwise take, built for the machine at hand
	$(NATIVE_CARGO) bench

.PHONY: bench-report
bench-report: PROFILE := release
bench-report: build ## Run the comparisons and rewrite the tables of benches/README.md
	$(BIN)/python benches/python/report.py

.PHONY: docs
docs: build ## Regenerate the reference pages and the stack file's schema
	$(BIN)/python -m backstay.config.schema --write
	$(BIN)/python -m backstay.config.reference --write
	$(BIN)/python -m backstay.cli.reference
	$(BIN)/python -m backstay.api.reference

.PHONY: wheel
wheel: setup ## An abi3 wheel in dist/
	$(BIN)/python -m pip wheel -q --no-deps -w dist .
	@ls dist/*.whl

.PHONY: demo
demo: PROFILE := release
demo: build ## Bring up the example fleet
	@tools/demo up $(EXAMPLE)

.PHONY: demo-down
demo-down: ## End the example fleet
	@tools/demo down $(EXAMPLE)

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(TARGET) $(VENV) dist tests/node_modules python/backstay/bin/backstay-keeper $(NATIVE)
