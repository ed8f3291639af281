# make install  what tests and checks need, into .venv
# make format   the code, by ruff
# make demo   three encoders on the five demo tasks, offline, and the leaderboard
# make test   the tests
# make test-fast   the tests but for the slow modules that tests/slow.txt lists: for every edit
# make coverage   the tests, and which lines they run: a table, and pages in .coverage-html
# make docs   the site of the documentation, into .site; a broken link is an error
# make docs-check   the console blocks of the pages, run and compared with what the pages show
# make campaign    kills, full disks, flipped bits, damaged audio, hostile files: under half an hour; campaign-full: hours
# make wheel-check   the wheel, installed where no checkout is known, runs a demo task
# make mutants     planted errors of the protocol, each of which a named test must notice
# make gpu-check   every CUDA path as a test, with rates beside the card's; on a machine without network, from .whl
# make gpu-wheels  what such a machine lacks, into .whl (Linux on x86-64, Python $(GPU_PYTHON))
# make check  lint, format, spelling, types, layers of imports, and whether the generated pages are what records and cards give

PYTHON ?= python3
# Passed to pip, for instance to point it at a CPU build of torch.
PIP_ARGS ?=
# What is installed beside the package: the tests' needs and the report's; dev,report,mirdata for the tests of mirdata too.
EXTRAS ?= dev,report
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.installed-docs

# Of the machine with the GPU: its interpreter, which has torch, and for gpu-wheels the version of that.
GPU_PYTHON_BIN ?= python3
GPU_PYTHON ?= 3.12
GPU_DEVICE ?= cuda

.DEFAULT_GOAL := help
.PHONY: help format demo test test-fast coverage docs docs-check wheel-check mutants campaign campaign-full gpu-check gpu-wheels check leaderboard install clean

help:
	@awk '/^# make / { printf "make %-12s", $$3; for (i = 4; i <= NF; i++) printf " %s", $$i; print "" }' $(MAKEFILE_LIST)

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS) --editable '.[$(EXTRAS)]'
	touch $(INSTALLED)

$(DOCS_INSTALLED): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_ARGS) --editable '.[docs]'
	touch $(DOCS_INSTALLED)

demo: $(INSTALLED)
	$(BIN)/bench run --encoder logmel,mfcc,chroma --task demo --overwrite always --home .demo/home --results .demo/results
	$(BIN)/bench leaderboard --results .demo/results --output .demo/leaderboard.md --print

# Two processes share the cores: a thread of torch that waits must not keep one busy; and hundreds of interpreters start,
# so that compiled modules are kept.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test: $(INSTALLED)
	$(PYTEST)

test-fast: $(INSTALLED)
	$(PYTEST) --fast

# TESTS: what is run, such as tests/results.
coverage: $(INSTALLED)
	$(PYTEST) --cov --cov-report term:skip-covered --cov-report html $(TESTS)

docs: $(INSTALLED) $(DOCS_INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

docs-check: $(INSTALLED)
	$(BIN)/python tests/docs_check.py --demo .demo/home

wheel-check: $(INSTALLED)
	$(BIN)/python tests/wheel.py .demo/home

mutants: $(INSTALLED)
	$(BIN)/python tests/campaigns/mutants.py

campaign: $(INSTALLED)
	$(BIN)/python tests/campaigns/campaign.py

campaign-full: $(INSTALLED)
	$(BIN)/python tests/campaigns/campaign.py --full

gpu-check:
	$(GPU_PYTHON_BIN) tests/gpu/check.py --device $(GPU_DEVICE)

gpu-wheels:
	rm -rf .whl
	grep -v '^#' tests/gpu/wheels.txt | xargs $(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps \
	  --only-binary=:all: --python-version $(GPU_PYTHON) --implementation cp \
	  $(foreach level,39 35 34 31 28 27 24 17 5,--platform manylinux_2_$(level)_x86_64) \
	  --platform manylinux2014_x86_64 --platform manylinux1_x86_64 --constraint constraints.txt --dest .whl
	@du -sh .whl

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/typos
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bench leaderboard --results results --output leaderboard.md --check
	$(BIN)/bench tasks --markdown --check
	$(BIN)/bench results keys -o docs/records.md --check

leaderboard: $(INSTALLED)
	$(BIN)/bench leaderboard --results results --output leaderboard.md

clean:
	rm -rf .demo .site .coverage .coverage-html .mypy_cache .pytest_cache .ruff_cache .hypothesis
