PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed-run
INSTALLED_DEV := .venv/.installed-dev
INSTALLED_BENCH := .venv/.installed-bench
# What npm is needed for: a validator of Jambonz's verbs, axe-core, the page's livekit-client, the
# node for n8n.
NPM_FOLDERS := tests/jambonz tests/web gateway/web/npm n8n-node
NPM_INSTALLED := $(NPM_FOLDERS:=/node_modules/.package-lock.json)
EXPRESS := bench/servers/express/node_modules/.package-lock.json
# All tests run in so many processes at once: more than two cores, for most of them wait.
TEST_PROCESSES ?= 7
# Tests start many gateways, which start faster with compiled modules.
unexport PYTHONDONTWRITEBYTECODE
# With CI=true coverage is measured and printed, and the tests fail below this, in %.
COVERAGE_FLOOR := 93
LINTERS := ruff mypy lint-imports bandit

.PHONY: help install install-dev run demo check test test-sip test-n8n soak lint docs bench clean
.PHONY: livekit-client n8n-node
.PHONY: $(LINTERS) pip-audit

help:  ## list these targets
	@grep -hE '^[a-z0-9-]+:.*##' Makefile | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

install: $(INSTALLED)  ## what running needs, in .venv, at the pinned versions

install-dev: $(INSTALLED_DEV)  ## and what tests and checks need

$(INSTALLED): constraints.txt setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { echo "Cannot create .venv; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(call pip_install,gateway and worker,agent)

$(INSTALLED_DEV): $(INSTALLED)
	$(call pip_install,the tools of tests and checks,dev)

$(INSTALLED_BENCH): $(INSTALLED_DEV)
	$(call pip_install,what the gateway is compared with,bench)

# pip shows its progress on a terminal; elsewhere a line says what it installs.
define pip_install
@echo "installing $(1) into .venv ..."; began=$$(date +%s); \
  if [ -t 1 ]; then quiet=; else quiet=--quiet; fi; \
  $(BIN)/pip install $$quiet --disable-pip-version-check -c constraints.txt -e '.[$(2)]' && \
  touch $@ && echo "installed in $$(($$(date +%s) - began)) s"
endef

run: install  ## LiveKit, gateway and worker on this machine; Ctrl-C stops them
	@exec $(BIN)/python -m gateway dev

demo: install  ## a call against what `make run` started; VOICE=1: a conversation of its own
	@exec $(BIN)/python -m gateway simulate $(if $(VOICE),voice,inbound)

check: install-dev  ## lint, and the tests that need no server or conversation: within a minute
	@$(MAKE) --no-print-directory --jobs --output-sync=target $(LINTERS)
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) -m 'not server and not conversation'

test: install-dev $(NPM_INSTALLED)  ## all tests, with real servers where they are installed
	@$(BIN)/python -m pytest -n $(TEST_PROCESSES) \
	  $(if $(filter true,$(CI)),--cov --cov-fail-under=$(COVERAGE_FLOOR))

# Without npm the tests that need it say so, with CI=true they fail; `bench` leaves Express out.
$(NPM_INSTALLED) $(EXPRESS): %/node_modules/.package-lock.json: %/package.json %/package-lock.json
	@if command -v npm >/dev/null; then \
	  cd $* && npm ci --silent --no-audit --no-fund --ignore-scripts; fi

test-sip: install-dev  ## calls on real SIP, where livekit-sip, redis-server, sipp, baresip are on PATH
	@$(BIN)/python -m pytest tests/sip

test-n8n: install-dev n8n-node/node_modules/.package-lock.json  ## node and workflows in real n8n 1 and 2; installs them (10 minutes, 4 GB)
	@bash tests/n8n/install.sh
	@WITH_N8N=1 $(BIN)/python -m pytest tests/n8n

soak: export CHAOS_MINUTES ?= 20
soak: export CHAOS_RATE ?= 40
soak: export CHAOS_SEED ?= $(shell date +%s)
soak: install-dev  ## calls for CHAOS_MINUTES=20 while everything goes wrong; CHAOS_SEED repeats one
	@$(BIN)/python -m pytest tests/chaos -s -k two_gateways -o faulthandler_timeout=0

lint: install-dev  ## ruff, mypy, the import contracts, bandit, pip-audit
	@$(MAKE) --no-print-directory --jobs --output-sync=target $(LINTERS) pip-audit

ruff:
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

mypy:
	@$(BIN)/mypy gateway agent common tests bench

lint-imports:
	@$(BIN)/lint-imports

bandit:
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml gateway agent common

pip-audit:
	@$(BIN)/python .ci/audit.py constraints.txt

docs: install  ## what is generated: docs/http-api.md, docs/configuration.md, a schema
	@$(BIN)/python -m gateway.tools.http_api > docs/http-api.md
	@$(BIN)/python -m gateway.tools.configuration > docs/configuration.md
	@$(BIN)/python -m agent.profiles.options_schema > agent/profiles/session_options.json
	@cp agent/profiles/session_options.json gateway/api/schemas/session_options.json

livekit-client: install gateway/web/npm/node_modules/.package-lock.json  ## the script of the page at /talk, from npm
	@$(BIN)/python -m gateway.tools.livekit_client

n8n-node: n8n-node/node_modules/.package-lock.json  ## the n8n node as a package to install, in n8n-node/
	@cd n8n-node && npm run --silent build && npm pack --silent

bench: $(INSTALLED_BENCH) $(EXPRESS)  ## measurements, side by side with what others would do
	@$(BIN)/python -m bench

clean:  ## what the above made
	rm -rf .venv .run $(NPM_FOLDERS:=/node_modules) n8n-node/dist n8n-node/*.tgz $(dir $(EXPRESS)) build *.egg-info
