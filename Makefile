# `make report` and `make test` each set up what they need; `make help` lists the rest.

.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin

# Arguments for the command line, for example: make report ARGS="--only gmm1d-notebook"
ARGS ?=

# Fits are kept beside the project, so that `make clean` clears them.
export LOCKSTEP_CACHE ?= $(CURDIR)/.cache/lockstep

# A uv that does not run (a version manager's shim, say) counts as none.
UV := $(shell if uv --version >/dev/null 2>&1; then command -v uv; else echo .uv/bin/uv; fi)

.PHONY: help
help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.uv/bin/uv: requirements-uv.txt
	@echo "Installing uv into .uv"
	@rm -rf .uv
	@{ python3 -m venv .uv && .uv/bin/python -m pip install --quiet --require-hashes -r $<; } \
	  || { rm -rf .uv && python3 -m pip install --quiet --target .uv --require-hashes -r $<; } \
	  || { rm -rf .uv; echo "make: cannot install uv: this python3 has neither venv nor pip." \
	       "Install uv, or your system's python3-venv, and run make again." >&2; exit 1; }
	@touch $@

# The stamp is written last: an environment whose installation was cut short is made again.
.venv/.stamp: requirements.txt pyproject.toml .python-version $(filter .uv/bin/uv,$(UV))
	@echo "Setting up .venv (once, and again when the pinned dependencies change)"
	@rm -f $@
	@$(UV) venv --quiet --clear .venv || $(UV) venv --quiet --clear --python 3.12 .venv
	@VIRTUAL_ENV=.venv $(UV) pip install --quiet --compile-bytecode --require-hashes \
	  -r requirements.txt
	@VIRTUAL_ENV=.venv $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@echo "Compiling the kernels"
	@rm -f models/__pycache__/*.nb[ci]
	@$(BIN)/python -c "import lockstep.models.hmm_kernels, lockstep.models.mixture_kernels"
	@touch $@

.PHONY: env
env: .venv/.stamp  ## Make the environment, if it is missing or out of date

.PHONY: report
report: env  ## Compare everything and write reports/latest (more: ARGS="--help")
	@$(BIN)/lockstep report --out reports/latest $(ARGS)

.PHONY: test
test: env  ## Run the tests (some of them: ARGS="-k hmm")
	@$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist worksteal $(ARGS)

.PHONY: fuzz-files
fuzz-files: env  ## Read 2,000 mangled CSV files: each must end in data or in one line
	@LOCKSTEP_FUZZED_FILES=2000 $(BIN)/python -m pytest tests/test_files.py -k mangled $(ARGS)

.PHONY: peer-tests
peer-tests: env  ## Run scikit-learn's and hmmlearn's own tests on our estimators
	@$(BIN)/python tests/peers/run.py $(ARGS)

.PHONY: fuzz
fuzz: env  ## Make 10,000 random calls, most with something wrong (ARGS="500" for fewer)
	@$(BIN)/python tests/fuzz.py $(ARGS)

.PHONY: coverage
coverage: env  ## Simulate 1,000 data sets and write docs/coverage.md
	@$(BIN)/python -m lockstep.comparisons.studies docs/coverage.md

.PHONY: convergence
convergence: env  ## Sample every scenario from four seeds and write docs/convergence.md
	@$(BIN)/python -m lockstep.comparisons.convergence docs/convergence.md

.PHONY: small-samples
small-samples: env  ## Compare MLE and Bayes from 15 to 5,000 observations: docs/small-samples.md
	@$(BIN)/python -m lockstep.comparisons.small_samples docs/small-samples.md
	@$(BIN)/python -c "from lockstep.reports.figures.small_samples import main; main('docs/small-samples.png')"

.PHONY: bench
bench: env  ## Time the estimators beside the libraries and write docs/benchmark.md
	@$(BIN)/lockstep bench --out docs $(ARGS)

.PHONY: vectors
vectors: env  ## Make the conformance vectors anew, at 50 digits
	@$(BIN)/python -m lockstep.comparisons.vectors.generate

.PHONY: schema
schema: env  ## Write the JSON Schema of results.json anew
	@$(BIN)/python -m lockstep.comparisons.results_file docs/results.schema.json

.PHONY: validation
validation: env  ## Validate right and wrong implementations, and write docs/validation.md
	@$(BIN)/python tests/validated.py

.PHONY: fuzz-candidates
fuzz-candidates: env  ## Validate 200 hostile candidates: a verdict each, and no process left
	@$(BIN)/python tests/hostile.py $(ARGS)

.PHONY: calibration
calibration: env  ## Rank 200 prior draws a model among posterior draws, write docs/calibration.md
	@$(BIN)/python -m lockstep.comparisons.calibration docs/calibration.md

.PHONY: judge-study
judge-study: env  ## Hold 20 right posteriors of every scenario against others: docs/judge.md
	@$(BIN)/python -m lockstep.comparisons.judge_study docs/judge.md

.PHONY: check
check: env  ## Lint, check the format and the types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

.PHONY: format
format: env  ## Put the code into its format
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

# --no-annotate and --no-emit-index-url keep addresses and comments out of the file.
.PHONY: lock
lock: $(filter .uv/bin/uv,$(UV))  ## Pin the dependencies anew in requirements.txt
	@$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --upgrade \
	  --no-header --no-annotate --no-emit-index-url --group dev pyproject.toml \
	  --output-file requirements.txt
	@echo uv | $(UV) pip compile --quiet --universal --python-version 3.9 --generate-hashes \
	  --upgrade --no-header --no-annotate --no-emit-index-url - --output-file requirements-uv.txt

.PHONY: clean
clean:  ## Remove the environment, the caches and the latest report
	@rm -rf .venv .uv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis reports/latest \
	  lockstep-report
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: publish
publish: report  ## Renew reports/published, the report kept in the repository
	@rm -rf reports/published
	@mkdir -p reports/published/figures
	@cp reports/latest/report.md reports/latest/recovery.csv reports/latest/log_likelihood.csv \
	  reports/published/
	@cp reports/latest/figures/*.png reports/published/figures/
