# Two commands for a newcomer: `make demo` and `make test`. Each installs what it needs.
.PHONY: demo test check bench screenshots messages lock clean

PY := .venv/bin/python
READY := .venv/.ready
ARGS ?=

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
	@.venv/bin/brimful bench usage $(ARGS)

screenshots: $(READY)
	@sh scripts/tools.sh
	@.venv/bin/python tests/browser/screenshots.py screenshots $(ARGS)

messages: $(READY)
	@.venv/bin/python scripts/messages.py

lock: $(READY)
	@.venv/bin/uv pip compile pyproject.toml --group dev --universal --generate-hashes \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements.lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .cache
