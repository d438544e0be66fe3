# Everything is installed into .venv, in this folder. PYTHON is the only thing to choose: any Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
# Without compiled files, each of the thousand processes that the tests start would compile Boss anew: 70 ms of its 270.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-fast coverage chaos fuzz soak bench bench-targets bench-versions bench-peers docs pictures lint audit lock wheel clean

run: .venv/run  ## serve on http://127.0.0.1:8080, with the data in ./data
	$(BIN)/boss serve --data data

test: .venv/dev  ## every test: those that may run beside others, several at once, and then the rest
	$(BIN)/pytest -n auto --dist worksteal -m "not alone"
	$(BIN)/pytest -m alone

test-fast: .venv/dev  ## the tests that take less than a minute together
	$(BIN)/pytest -n auto --dist worksteal -m "not slow and not alone"

coverage: .venv/dev  ## every test, and which lines none of them runs, in the server's processes too
	$(BIN)/coverage erase
	$(BIN)/pytest -n auto --dist worksteal -m "not alone" --cov --cov-report=
	$(BIN)/pytest -m alone --cov --cov-append --cov-report=term:skip-covered

chaos: .venv/dev  ## the test in which everything dies, with twenty times as many jobs: about ten minutes
	CHAOS_JOBS=50000 $(BIN)/pytest -s tests/acceptance/test_chaos.py

fuzz: .venv/dev  ## mutated requests at random: ten minutes, or SECONDS=60
	FUZZ_SECONDS=$(or $(SECONDS),600) $(BIN)/pytest -s --timeout 1200 tests/acceptance/test_fuzz.py

soak: .venv/bench  ## three replicas under load while everything dies: ten minutes, or MINUTES=60; into bench/results.md
	$(BIN)/python -m bench.soak --minutes $(or $(MINUTES),10)

bench: .venv/bench  ## measure Boss, into bench/results.md: forty minutes; needs wrk (apt-get install wrk)
	$(BIN)/python -m bench
	$(BIN)/python -m bench.targets
	$(BIN)/python -m bench.latency
	$(BIN)/python -m bench.memory
	$(BIN)/python -m bench.wake
	$(BIN)/python -m bench.replicas
	$(BIN)/python -m bench.work
	$(BIN)/python -m bench.dashboard
	$(BIN)/python -m bench.flat
	$(BIN)/python -m bench.refused
	$(BIN)/python -m bench.commands

bench-targets: .venv/bench  ## what Boss has to reach beside an earlier version and its peers: six minutes; WORKERS=N
	$(BIN)/python -m bench.targets $(if $(WORKERS),--workers $(WORKERS))

bench-versions: .venv/bench  ## the earlier version alone, REVISION=...: four minutes; WORKERS=N
	$(BIN)/python -m bench.versions $(REVISION) $(if $(WORKERS),--workers $(WORKERS))

bench-peers: .venv/dev  ## install the queues that `make bench` then measures beside Boss; as root, on Debian
	apt-get install --yes beanstalkd redis-server wrk
	cd bench/peers && npm install --no-audit --no-fund
	$(PYTHON) -m venv bench/peers/.venv
	bench/peers/.venv/bin/pip install --quiet --disable-pip-version-check 'pgqueuer[asyncpg]>=1.6,<2' uvloop

docs: .venv/dev  ## the documentation as a site, in ./site, after its reference pages were made from the code
	$(BIN)/python docs/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

pictures: .venv/dev  ## the pictures of the page in docs/; needs chromium (apt-get install chromium)
	$(BIN)/python docs/screenshots.py

lint: .venv/dev  ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: .venv/dev  ## known vulnerabilities of what is installed; asks pypi.org
	$(BIN)/pip-audit --require-hashes --disable-pip --requirement requirements.lock --requirement requirements-dev.lock

lock: .venv/dev  ## choose the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --python-version 3.11 \
		pyproject.toml --all-extras --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --python-version 3.11 \
		pyproject.toml --all-extras --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
		pyproject.toml --extra server --constraint requirements.lock --output-file deploy/requirements.lock
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --python-version 3.11 \
		--group bench --output-file requirements-bench.lock

wheel: .venv/dev  ## what others install, in ./dist: a wheel, and the source
	$(BIN)/python -m hatchling build --directory dist

clean:  ## remove what was installed and built, not the data
	rm -rf .venv dist bench/peers/.venv bench/peers/node_modules

.venv/run: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

.venv/dev: .venv/run requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

.venv/bench: .venv/dev requirements-bench.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	touch $@
