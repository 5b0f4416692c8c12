.DEFAULT_GOAL := help
PYTHON ?= python3.11
PYTHON := $(or $(shell command -v $(PYTHON)),python3)
BIN := .venv/bin
DEMO_HOME ?= demo

.PHONY: help install demo examples test test-fast test-local faults kernels check openapi serve bench secrets

help: ## list these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/.installed ## create .venv with everything in it

.venv/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"seqnorm needs Python 3.11 or newer: got {sys.version.split()[0]}. Name one: make install PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[all,dev]'
	@touch $@

demo: install ## tune SeqNorm on 5,000 real MNIST images, gm first, then gc (2 to 4 minutes on two cores)
	$(BIN)/seqnorm --home $(DEMO_HOME) tune mnist-simplenet --gm 1,2,4,8,16,32,64,128 --gc 1,2,4 --seeds 3

examples: install ## run each example as its README says, and write the outcomes into them (a quarter of an hour on two cores)
	$(BIN)/python -m tests.outcomes

# Processes that share the tests: with a third, two cores start Ray more slowly than Ray itself allows.
TEST_PROCESSES ?= 2
unexport PYTHONDONTWRITEBYTECODE  # a run starts some 500 processes, which need not compile the sources again
PYTEST := $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadgroup --no-loadscope-reorder

test: install ## run the whole test suite
	$(PYTEST)

test-fast: install ## run the quick tests, about 5,300, in a minute and a half
	$(PYTEST) -m "not ray and not browser and not postgres and not slow"

test-local: install ## run the tests that start no Ray, browser or PostgreSQL
	$(PYTEST) -m "not ray and not browser and not postgres"

FAULTS := $(BIN)/python -m tests.faults

faults: install ## run 25 seeds of faults on each database, and some with Ray and with leases of 15 s; goes on where it stopped
	FAULTS_LONG=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) tests/faults --timeout 1800
	$(FAULTS) --database sqlite --count 25
	$(FAULTS) --database postgresql --count 25
	$(FAULTS) --database sqlite --count 6 --lease 15
	$(FAULTS) --database postgresql --count 6 --lease 15
	$(FAULTS) --database sqlite --count 5 --ray
	$(FAULTS) --database postgresql --count 5 --ray

KERNELS := ATEN_CPU_CAPABILITY=default ATEN_CPU_CAPABILITY=avx2 MKL_CBWR=COMPATIBLE OMP_NUM_THREADS=1 OMP_NUM_THREADS=2

kernels: install ## run the numeric tests under other CPU kernels and thread counts
	@for kernel in $(KERNELS); do echo "$$kernel" && env $$kernel $(BIN)/python -m pytest -q tests/seqnorm tests/trainers || exit 1; done

check: install ## lint, format, type and security checks
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive seqnorm trainers search service

serve: install ## open the dashboard over the demo's database
	$(BIN)/seqnorm --home $(DEMO_HOME) serve

# Each its own file, which a container's own user can read; the folder keeps this host's other users out.
SECRETS := $(addprefix secrets/,database_password database_url ray_token webhook_secret)

secrets: $(SECRETS) ## make random secrets for docker compose; existing ones are kept

secrets/database_url: | secrets/database_password
	@printf 'postgresql://seqnorm:%s@postgres/seqnorm' "$$(cat secrets/database_password)" > $@ && chmod 644 $@

secrets/webhook_secret:
	@mkdir -p -m 700 secrets
	@printf 'whsec_%s' "$$(head -c 32 /dev/urandom | base64)" > $@ && chmod 644 $@

secrets/%:
	@mkdir -p -m 700 secrets
	@od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > $@ && chmod 644 $@

openapi: install ## rewrite docs/openapi.json after an intended change of the API
	$(BIN)/python -m service.api > docs/openapi.json

pictures: install ## retake the README's pictures of the dashboard
	PYTHONPATH=tests/plugin $(BIN)/python -m tests.pictures docs

bench: install ## measure; prints ratios with versions and date
	PYTHONPATH=tests/plugin $(BIN)/python -m tests.benchmarks
