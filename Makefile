# `make help` tells what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STATE := $(CURDIR)/.demo

.PHONY: help demo test lint bench schema captures clean

help: ## This list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(BIN)/agentmon: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat --editable '.[dev]'
	@touch $@

demo: $(BIN)/agentmon ## Run a small real orchestrator under agentmon; show its events and the summary
	@mkdir -p $(STATE)
	XDG_STATE_HOME=$(STATE) $(BIN)/agentmon run --team demo --interval 500ms -- $(BIN)/python -m agentmon.demo
	@echo
	@echo "--- the events (without log entries):"
	@XDG_STATE_HOME=$(STATE) $(BIN)/python -c 'from agentmon.runs import find; print(find(None).read_text(), end="")' \
		| grep -v '"event":"log_entry"' | cut -c1-240
	@echo
	@echo "--- the summary:"
	@XDG_STATE_HOME=$(STATE) $(BIN)/agentmon report

test: $(BIN)/agentmon ## Install what the tests need, then run the linters and all tests
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 4 --dist loadfile

lint: $(BIN)/agentmon ## Linters, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(BIN)/agentmon ## Measure against other programs found on this machine
	$(BIN)/python -m tests.bench

schema: $(BIN)/agentmon ## Write agentmon/schema.json anew from the event types
	$(BIN)/python -c 'import orjson; from agentmon.schema import json_schema; print(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2).decode())' > agentmon/schema.json

captures: $(BIN)/agentmon ## Make the README's captures of every view anew, from the run logs in tests/data/runs
	$(BIN)/python -m tests.captures

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(STATE) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
