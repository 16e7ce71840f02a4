# Every target makes what it needs: `make demo` and `make test` work in a fresh clone.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
SET_UP := $(VENV)/.installed

.PHONY: demo test slow check format docs clean

demo: $(SET_UP)
	$(BIN)/hf-trace demo --out runs/demo --overwrite

test: $(SET_UP)
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -m "not slow and not gpu" -n auto --maxprocesses 8 --dist loadfile

slow: $(SET_UP)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -q -m "slow"

check: $(SET_UP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(SET_UP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(SET_UP)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(SET_UP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build runs
