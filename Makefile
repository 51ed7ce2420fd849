# make demo: converts the sample clip.  make test: lint, types and tests.  Both make .venv and install into it.
# make coverage, make mutants: what the tests reach, and which changes of the code they notice; by hand, they take long.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CLIP := tests/data/sample_bbb_1x8.mp4
PYTEST_ARGS ?= -n auto --maxprocesses 4
RUNTIME := $(VENV)/.installed-runtime
DEVELOPMENT := $(VENV)/.installed-development
PROOF := $(VENV)/.installed-proof

.PHONY: demo test coverage mutants clean

demo: $(RUNTIME)
	mkdir -p demo
	$(BIN)/lanhdr convert $(CLIP) -o demo/exr/ --preview demo/preview.png -y
	$(BIN)/lanhdr convert $(CLIP) -o demo/hdr10.mp4 -y
	@echo "HDR frames: $(CURDIR)/demo/exr/"
	@echo "HDR10 video: $(CURDIR)/demo/hdr10.mp4"
	@echo "Preview (short input, long input, result): $(CURDIR)/demo/preview.png"

test: $(DEVELOPMENT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q $(PYTEST_ARGS)

coverage: $(PROOF)
	$(BIN)/pytest -q $(PYTEST_ARGS) --cov --cov-report=term --cov-report=html

mutants: $(PROOF)
	OMP_NUM_THREADS=1 $(BIN)/mutmut run
	$(BIN)/mutmut results

clean:
	rm -rf $(VENV) demo htmlcov mutants

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp per set of packages, so that a second run installs nothing. What is never imported need not be compiled: half the time.
$(RUNTIME): pyproject.toml constraints.txt model/kernels.c | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e .
	touch $@

$(DEVELOPMENT): pyproject.toml constraints.txt model/kernels.c | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[train,dev]'
	touch $(RUNTIME) $@

$(PROOF): $(DEVELOPMENT)
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e '.[proof]'
	touch $@
