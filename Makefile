# make demo    from nothing to a posterior, its figures and a report in out/
# make test    set-up, style, types and all tests
# make lint    style and types only
# make clean   removes what these made, except .venv

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.oceaninv-installed

# One thread per core this process may use: torch and numba otherwise count the whole machine.
CORES := $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export OMP_NUM_THREADS ?= $(CORES)
export NUMBA_NUM_THREADS ?= $(CORES)

.PHONY: demo test lint clean

demo: $(READY)
	mkdir -p out
	$(BIN)/oceaninv infer data/swellex96-vla.nc --model swellex96-vla --seed 1 --max-seconds 35 -o out/posterior.nc
	$(BIN)/oceaninv report out/posterior.nc -o out/report.html --figures out/figures

test: lint
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf out build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find forward_models oceaninv tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The first use of the solver compiles its kernels (a minute, kept in the user's cache): done here.
# torch goes first and alone: with the pinned version in place no resolver looks further and takes
# gigabytes of CUDA packages. On Linux without an NVIDIA GPU, the small wheel comes with
#   make PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
$(READY): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	$(BIN)/oceaninv synthesize swellex96-2p -o $(VENV)/warm-up.nc > $(VENV)/warm-up.txt
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
