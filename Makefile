# Everything happens in .venv, made on first use by Python 3.11 or newer.
PYTHON ?= python3
VENV ?= .venv
BACKENDS ?= torch jax tensorflow
ARGS ?=
# Each benchmark is a script; side_by_side.py is what they import. Those that measure what
# is learned, not how fast, take options, and hours.
LEARNED := answers experiments grocery_store heads handwriting latent_tree quantization
BENCHMARKS ?= $(filter-out $(LEARNED:%=benchmarks/%.py) %/side_by_side.py,$(wildcard benchmarks/*.py))

BIN := $(VENV)/bin
RUNTIME := $(VENV)/.installed-tensorflow
SERVE := $(VENV)/.installed-serve
DEV := $(VENV)/.installed-dev
UNFINISHED := $(VENV)/.unfinished

export TF_CPP_MIN_LOG_LEVEL ?= 3
# Python compiles what it imports, once, and not, as pip would, all that is installed.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo serve-demo dev test bench docs lint format zoo-table wheel wheel-check clean

help:
	@echo "make demo         fine-tune a preset on the glyph set, write runs/demo/;"
	@echo "                  from nothing: make demo ARGS=--from-scratch"
	@echo "make serve-demo   draw letters on a page, and see what they are taken for"
	@echo "make test         run the tests on PyTorch, JAX and TensorFlow"
	@echo "                  one of them: make test BACKENDS=jax"
	@echo "                  part of them: make test ARGS='tests/losses -k anchor'"
	@echo "make dev          install what development needs, and nothing else"
	@echo "make bench        measure against PyTorch Metric Learning"
	@echo "                  one of them: make bench BENCHMARKS=benchmarks/evaluation.py"
	@echo "make docs         build the documentation site, into site/"
	@echo "make lint         check style with ruff (make format mends it)"
	@echo "make zoo-table    write the table of presets in README.md"
	@echo "make wheel        build dist/*.whl"
	@echo "make wheel-check  build the wheel and use it from an empty folder"
	@echo "make clean        remove $(VENV), caches and build results"
	@echo
	@echo "PYTHON=python3.12 chooses the interpreter for a new $(VENV)."

demo: $(RUNTIME)
	KERAS_BACKEND=tensorflow $(BIN)/python examples/demo.py $(ARGS)

serve-demo: $(SERVE)
	KERAS_BACKEND=tensorflow $(BIN)/python examples/serve_demo.py $(ARGS)

test: $(DEV)
	@$(BIN)/python tests/run.py --backend $(BACKENDS) $(ARGS)

dev: $(DEV)

bench: $(DEV)
	@for script in $(BENCHMARKS); do \
	  echo; echo "== $$script"; $(BIN)/python $$script $(ARGS) || exit 1; done

docs: $(DEV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

zoo-table: $(DEV)
	$(BIN)/python tools/readme_zoo.py

wheel: $(DEV)
	rm -rf dist
	$(BIN)/python -m build

wheel-check: wheel
	PYTHON=$(BIN)/python tests/check_wheel.sh dist/*.whl

clean:
	rm -rf $(VENV) dist build site .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(VENV)/.unfinished stands while pip works. Where an install was cut short it is
# still there, and the environment is made anew: pip would take a half-copied package
# for a whole one.
define install
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "keras_hierproxy needs Python 3.11 or newer; '$(PYTHON)' is" \
    "$$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..."; \
  exit 1; }
@$(PYTHON) -c 'import venv, ensurepip' || { \
  echo "'$(PYTHON)' cannot make virtual environments." \
    "On Debian and Ubuntu: sudo apt install python3-venv"; \
  exit 1; }
@if [ -e $(UNFINISHED) ]; then rm -rf $(VENV); fi
@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
@rm -f $(RUNTIME) $(SERVE) $(DEV) && touch $(UNFINISHED)
@echo "Installing into $(VENV). The backends are large: this may take minutes."
$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check \
  -c constraints.txt -e '.[$(1)]'
@mv $(UNFINISHED) $@
endef

$(RUNTIME): pyproject.toml constraints.txt
	$(call install,tensorflow)

comma := ,
$(SERVE): pyproject.toml constraints.txt
	$(call install,tensorflow$(comma)serve)
	@touch $(RUNTIME)

# The development extras hold the others, too.
$(DEV): pyproject.toml constraints.txt
	$(call install,dev)
	@touch $(RUNTIME) $(SERVE)
