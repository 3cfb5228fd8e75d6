# make install | demo | test | lint | soak N=2000 | bench | witness [LAKE=…] | lock | services | clean: see CONTRIBUTING.md
BIN := .venv/bin
SOURCES := pyproject.toml scripts/install requirements/build.lock
N ?= 2000
LAKE ?= demo/lake
WITNESS := .cache/witness-venv
DLT := .cache/dlt-venv

.PHONY: install demo test lint soak bench witness lock services services-stop clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

install: .venv/dev.stamp

# A full install serves the demo too; the demo alone needs only what it runs with.
.venv/dev.stamp: $(SOURCES) requirements/dev.lock
	@scripts/install dev
	@touch $@ .venv/runtime.stamp

.venv/runtime.stamp: $(SOURCES) requirements/runtime.lock
	@scripts/install runtime
	@touch $@

# It uses the servers of `make services` where these run.
demo: .venv/runtime.stamp
	@if [ -f .services/env ]; then . ./.services/env; fi; \
	POSTROAD_DEMO_RABBITMQ=$${POSTROAD_DEMO_RABBITMQ-$$POSTROAD_TEST_RABBITMQ} \
	POSTROAD_DEMO_MONGODB=$${POSTROAD_DEMO_MONGODB-$$POSTROAD_TEST_MONGODB} $(BIN)/postroad demo

lint: install
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo

# Whatever the shell says, compiled tests are kept: three workers would compile each of them at each run (4 s apiece).
test: lint services
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 3 --dist worksteal

soak: install services
	TMPDIR=$${TMPDIR:-/tmp} POSTROAD_SOAK_KILLS=$(N) $(BIN)/pytest -m soak -n 0 --timeout 0 -s

bench: install $(DLT)/stamp
	@$(BIN)/python -m benchmarks

$(DLT)/stamp: requirements/dlt.lock .venv/dev.stamp
	$(BIN)/uv venv --quiet --clear $(DLT)
	$(BIN)/uv pip install --quiet --python $(DLT)/bin/python --require-hashes -r requirements/dlt.lock
	@touch $@

services: install
	@$(BIN)/python scripts/services start

services-stop:
	@! test -d .services || $(BIN)/python scripts/services stop

# The lake of the demo (or LAKE=…) and a small one of every type, read by Spark, DuckDB and Polars beside delta-rs; and
# another server that speaks MongoDB's protocol.
witness: install $(WITNESS)/stamp
	$(BIN)/python tests/witness/sample.py .cache/witness-lake
	$(BIN)/python tests/witness/read_lake.py .cache/witness-lake
	@test -d $(LAKE) || $(MAKE) demo
	$(BIN)/python tests/witness/read_lake.py $(LAKE)
	$(BIN)/pytest tests/witness -n 0

$(WITNESS)/stamp: requirements/witness.lock tests/witness/pom.xml tests/witness/mongodb/pom.xml .venv/dev.stamp
	@command -v mvn java >/dev/null || { echo 'make witness needs Java and Maven: apt-get install maven' >&2; exit 1; }
	$(BIN)/uv venv --quiet --clear $(WITNESS)
	$(BIN)/uv pip install --quiet --python $(WITNESS)/bin/python --require-hashes -r requirements/witness.lock
	mvn -q -B -Dstyle.color=never -f tests/witness/pom.xml dependency:copy-dependencies -DexcludeTransitive=true -DoutputDirectory=$(CURDIR)/.cache/witness-jars
	mvn -q -B -Dstyle.color=never -f tests/witness/mongodb/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/.cache/witness-mongodb-jars
	@touch $@

lock: .venv/dev.stamp
	@scripts/lock

clean: services-stop
	rm -rf .venv .cache .services demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
