# make demo   three encoders on the five demo tasks, offline, and the leaderboard
# make test   the tests
# make check  lint, format, types, and whether the generated pages are what records and cards give

PYTHON ?= python3
# Passed to pip, for instance to point it at a CPU build of torch.
PIP_ARGS ?=
# What is installed beside the package: dev, or dev,mirdata for the tests of mirdata too.
EXTRAS ?= dev
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test check leaderboard install clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS) --editable '.[$(EXTRAS)]'
	touch $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/bench run --encoder logmel,mfcc,chroma --task demo --overwrite always --home .demo/home --results .demo/results
	$(BIN)/bench leaderboard --results .demo/results --output .demo/leaderboard.md --print

test: $(INSTALLED)
	$(BIN)/python -m pytest

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/bench leaderboard --check
	$(BIN)/bench tasks --markdown --check

leaderboard: $(INSTALLED)
	$(BIN)/bench leaderboard

clean:
	rm -rf .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
