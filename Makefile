# Two commands for a newcomer: `make demo` and `make test`. Each installs what it needs.
.PHONY: demo test check bench docs screenshots messages simulate crash-table mutants soak storm lock clean

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

test: check
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

storm: $(READY)
	@.venv/bin/python tests/flows/storm.py $(ROUNDS)

messages: $(READY)
	@.venv/bin/python scripts/messages.py

lock: $(READY)
	@.venv/bin/uv pip compile pyproject.toml --group dev --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements.lock
	@.venv/bin/uv pip compile --group go --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --output-file scripts/go.lock
	@.venv/bin/uv pip compile pyproject.toml --extra traces --universal --generate-hashes \
	  --constraint requirements.lock \
	  --no-header --no-annotate --no-emit-index-url --output-file deploy/requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .cache
