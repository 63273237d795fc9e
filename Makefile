# What CI calls is what you call. Every target does the set-up it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# `fast` while developing, `release` for what users get (demo, wheel, benches).
PROFILE ?= fast
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup build
setup: $(VENV)/.ready
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install -q --group dev 'click>=8.1' 'packaging>=24' 'prometheus-client>=0.20' 'pydantic>=2.8' 'rich>=13' 'ruamel.yaml>=0.18' 'starlette>=0.40' 'uv>=0.5' 'uvicorn>=0.30'
	touch $@

# The extension and the keeper, in place; cargo decides what is stale.
build: setup
	cargo build --profile $(PROFILE) -p backstay-keeper
	install -m 755 $${CARGO_TARGET_DIR:-target}/$(PROFILE)/backstay-keeper python/backstay/bin/.keeper.new
	mv python/backstay/bin/.keeper.new python/backstay/bin/backstay-keeper
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop -q --profile $(PROFILE)
