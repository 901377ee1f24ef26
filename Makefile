# The two commands are `make demo` and `make test`. Everything that they need, they make.
PYTHON ?= python3
CLUSTER ?= lab
# Processes for tests that mostly wait. Six keep two cores busy.
WORKERS ?= 6
py := .venv/bin/python
lab := $(py) -m tests.lab
# Every test of an operator starts one, and without bytecode three of its four seconds go into compiling.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(CURDIR)/.venv/pycache

.PHONY: demo down test env lock generate lint types layers generated unit integration e2e bench format help

help: ## what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

env: ## the project's own Python environment, in .venv
	@PYTHON=$(PYTHON) sh hack/env.sh

lock: env ## lock the requirements anew
	sh hack/lock.sh

demo: env ## a real cluster, a shop, a bad release, and the way back
	@$(py) -m tests.demo up --cluster $(CLUSTER)

down: env ## stop and remove all that demo and the labs made
	@$(py) -m tests.demo down --cluster $(CLUSTER)
	@$(lab) down --all

generate: env ## CRDs, the chart's copy and the API reference, from the models
	@$(py) -m lastgood.cli.main crds --into crds --into charts/lastgood/files/crds --into manifests/install
	@$(py) hack/reference.py docs/api.md
	@sh hack/manifests.sh > manifests/install/lastgood.yaml

generated: env
	@$(py) -m lastgood.cli.main crds --into crds --into charts/lastgood/files/crds --into manifests/install --check
	@$(py) hack/reference.py docs/api.md --check
	@sh hack/manifests.sh | diff -q - manifests/install/lastgood.yaml >/dev/null || { echo "manifests/install/lastgood.yaml is not what the chart says: run \`make generate\`" >&2; exit 1; }

lint: env
	@$(py) -m ruff check operator tests hack
	@$(py) -m ruff format --check --quiet operator tests hack

format: env ## format and mend what can be mended by machine
	@$(py) -m ruff check --fix-only --quiet operator tests hack
	@$(py) -m ruff format operator tests hack

types: env
	@$(py) -m mypy

layers: env
	@.venv/bin/lint-imports --no-cache | tail -n 3

unit: env ## pure tests, and adapters against servers on loopback
	@$(py) -m pytest tests/unit tests/property tests/golden -q -n auto

integration: env ## a real API server, a real PostgreSQL and Redis
	@sh hack/servers.sh
	@sh hack/suite.sh integration $(WORKERS)

# Its apps and their time limits are real, too: with six beside each other a healthy one answers too late.
e2e: WORKERS = 4
e2e: env ## a real node
	@CLUSTER=$(CLUSTER) sh hack/suite.sh e2e $(WORKERS)

test: env lint types layers generated unit ## everything
	@sh hack/servers.sh
	@$(lab) build
	@$(MAKE) --no-print-directory integration e2e

bench: env ## figures, written to docs/benchmarks.md; of one part only with PART=NAME
	@sh hack/servers.sh
	@$(py) -m tests.bench $(PART)
