# make test    everything that must hold: ruff, mypy, the whole suite (what CI runs)
# make demo    the example: naive and multi-stage image side by side, a prediction from the slim one
# make check   ruff and mypy only
# make bench   slimstage beside BuildKit and buildah, then bench-registry; bench-cache: a cache that travels (docs/caching.md)
# make bench-registry   push and pull beside skopeo, podman and docker, against a registry on loopback
# make fuzz    TARGET=tar MINUTES=60: fuzz one reader of others' files (docs/fuzzing.md); fuzz-corpus chooses what is committed
# make differential   generated Dockerfiles, built by a real BuildKit and by slimstage, compared (MINUTES=30)
# make wheel   dist/slimstage-VERSION-py3-none-any.whl
# make zipapp  dist/slimstage.pyz: the command with all it needs in one file
# make image   slimstage in an image of its own, built by itself (Containerfile), in the store
# make bench-limits   what plain programs need for the same bytes, beside slimstage (docs/performance.md)
# make bench-scale   how cost grows with files, stages, steps, sizes and jobs, with the plots of docs/scaling.md
#
# Each target does its own set-up on a fresh Debian 12: missing packages (as root), a virtual environment, pip.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV ?= .venv
PY := $(VENV)/bin/python
# Two workers even on one core: much of the suite waits for child processes.
WORKERS ?= $(shell n=$$(nproc); echo $$((n < 2 ? 2 : n)))

# Where it is set, each of the many commands that tests start would compile every module again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup check test tests-all test-fast demo bench bench-registry bench-cache bench-scale bench-limits differential fuzz fuzz-corpus wheel zipapp image docs requirements clean

help:
	@sed -n 's/^# //p' Makefile

setup: $(VENV)/.ready

$(VENV)/.ready: requirements/dev.txt pyproject.toml scripts/setup.sh
	@scripts/setup.sh $(VENV)
	@touch $@

check: setup
	$(VENV)/bin/ruff check src tests scripts bench fuzz
	$(VENV)/bin/ruff format --check src tests scripts bench fuzz
	$(VENV)/bin/mypy

# Side by side: mypy keeps one core busy, and the tests often wait.
test: setup
	@$(MAKE) --no-print-directory -j2 check tests-all

tests-all: setup
	$(VENV)/bin/pytest -n $(WORKERS) --dist loadgroup

test-fast: setup
	$(VENV)/bin/pytest -n $(WORKERS) tests/unit tests/property tests/golden

demo: setup
	@$(PY) scripts/demo.py

bench: setup
	@$(PY) bench/run.py
	@$(PY) bench/registry.py

bench-registry: setup
	@$(PY) bench/registry.py

# Two machines are two stores, with a registry on loopback between them.
bench-cache: setup
	@$(PY) bench/cache.py

bench-limits: setup
	@$(PY) bench/limits.py

# The plots take matplotlib, which nothing else needs.
bench-scale: setup
	$(VENV)/bin/pip install -q -q --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@$(PY) bench/scale.py
	@$(PY) bench/scale.py --plot

# The fuzzer has wheels for few platforms, so it is not among what `setup` installs.
fuzz: setup
	$(VENV)/bin/pip install -q -q --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@$(PY) -m fuzz.run $(TARGET) --minutes $(or $(MINUTES),60)

fuzz-corpus: setup
	@$(PY) -m fuzz.minimise $(TARGET)

# A dockerd on PATH or in BENCH_PATH, started as our own; what is found is kept in .differential.
differential: setup
	@cd tests && ../$(PY) -m differential.steps
	@cd tests && ../$(PY) -m differential.search --minutes $(or $(MINUTES),30) --save ../.differential

wheel: setup
	$(VENV)/bin/pip install -q -q --disable-pip-version-check --require-hashes -r requirements/dist.txt
	$(VENV)/bin/python -m build --wheel --no-isolation -o dist .

zipapp: setup
	scripts/make_zipapp.sh $(VENV)

image: setup
	$(VENV)/bin/slimstage build -f Containerfile -t slimstage .

docs: setup
	$(PY) scripts/make_cli_docs.py
	$(PY) scripts/make_cache_docs.py
	$(PY) scripts/make_rule_docs.py

# Hashes of every wheel, and no address of an index.
requirements: setup
	$(VENV)/bin/pip install -q pip-tools
	cd requirements && for f in dev runtime bench fuzz dist; do \
	  case $$f in dev) in="dev.in ../pyproject.toml";; runtime) in=../pyproject.toml;; *) in=$$f.in;; esac; \
	  ../$(VENV)/bin/pip-compile -q --generate-hashes --no-header --no-annotate --strip-extras --allow-unsafe --upgrade \
	    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host -o $$f.txt $$in; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo .bench .fuzz .differential .test-cache .test-store
