# Targets use the environment's own paths: nothing needs to be activated. `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SHARDS ?= out
KILLS ?= 200
TRAINING_KILLS ?= 50
FUZZ ?= 20000
SERVER ?= 500
SEED ?= 1
MUTANTS ?= 20
# Compiled once, not by every process that the tests start; empty is unset.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install demo train-ae train-gan train-style2paints train-segin train-diffsketching compare-systems eval docs test test-all check format coverage mutate soak dist clean

install: $(VENV)/.installed ## create .venv and install sketchforge into it (editable)
	@echo "installed; now: . $(VENV)/bin/activate"

demo: install ## train TOM on the built-in samples, render them, make a contact sheet beside Canny (minutes on 2 cores)
	PATH="$(abspath $(BIN)):$$PATH" sketchforge tom-train
	PATH="$(abspath $(BIN)):$$PATH" sketchforge render --checkpoints 10 --shards $(SHARDS)/
	PATH="$(abspath $(BIN)):$$PATH" sketchforge render --method canny --shards $(SHARDS)-canny/
	PATH="$(abspath $(BIN)):$$PATH" sketchforge gallery $(SHARDS)/ --compare $(SHARDS)-canny/ --png $(SHARDS)-gallery.png --html $(SHARDS)-gallery.html
	@echo "photo | ten sketches | Canny: $(abspath $(SHARDS)-gallery.png), to browse: $(abspath $(SHARDS)-gallery.html)"

# Options of the trainings, where they are given: make train-ae SHARDS=faces SIZE=256 STEPS=20000 RECIPE=paper
TRAIN_OPTIONS = $(if $(RECIPE),--recipe $(RECIPE)) $(if $(SIZE),--size $(SIZE)) $(if $(STEPS),--steps $(STEPS))

train-ae: install ## train the auto-encoder on SHARDS (default: the built-in samples, rendered first where need be)
	@test "$(SHARDS)" != out -o -f out/manifest.json || \
		PATH="$(abspath $(BIN)):$$PATH" sketchforge render --checkpoints 10 --shards out/
	PATH="$(abspath $(BIN)):$$PATH" sketchforge ae-train --shards $(SHARDS) $(TRAIN_OPTIONS)

train-gan: install ## train the GAN that refines it (and the auto-encoder first where runs/ae has none)
	@test -f runs/ae/model.safetensors || $(MAKE) --no-print-directory train-ae
	PATH="$(abspath $(BIN)):$$PATH" sketchforge gan-train --shards $(SHARDS) $(TRAIN_OPTIONS)

train-style2paints: install ## train Style2Paints V1 on SHARDS (default: the built-in samples, rendered first where need be)
	@test "$(SHARDS)" != out -o -f out/manifest.json || \
		PATH="$(abspath $(BIN)):$$PATH" sketchforge render --checkpoints 10 --shards out/
	PATH="$(abspath $(BIN)):$$PATH" sketchforge style2paints-train --shards $(SHARDS) $(TRAIN_OPTIONS)

train-segin: install ## train SEGIN on SHARDS (default: the built-in samples, rendered first where need be)
	@test "$(SHARDS)" != out -o -f out/manifest.json || \
		PATH="$(abspath $(BIN)):$$PATH" sketchforge render --checkpoints 10 --shards out/
	PATH="$(abspath $(BIN)):$$PATH" sketchforge segin-train --shards $(SHARDS) $(TRAIN_OPTIONS)

train-diffsketching: $(VENV)/.diffusion-install ## train DiffSketching on SHARDS (default: the built-in samples, rendered first where need be)
	@test "$(SHARDS)" != out -o -f out/manifest.json || \
		PATH="$(abspath $(BIN)):$$PATH" sketchforge render --checkpoints 10 --shards out/
	PATH="$(abspath $(BIN)):$$PATH" sketchforge diffsketching-train --shards $(SHARDS) $(TRAIN_OPTIONS)

# Seconds of a processor for each system: make compare-systems SHARDS=faces SECONDS=3600 COMPARISON=runs/faces
SECONDS ?= 1200
COMPARISON ?= runs/comparison
compare-systems: install $(VENV)/.diffusion-install ## train every system on SHARDS for SECONDS each (default: 1200), and write COMPARISON/comparison.md (default: runs/comparison); goes on where it was interrupted
	@test "$(SHARDS)" != out -o -f out/manifest.json || \
		PATH="$(abspath $(BIN)):$$PATH" sketchforge render --checkpoints 10 --shards out/
	$(BIN)/python benchmarks/studies/compare_systems.py all --shards $(SHARDS) --work $(COMPARISON) --seconds $(SECONDS)

eval: install ## measure the sketches in out*/ and the models in runs/ into eval/report.html; nothing has to be trained
	PATH="$(abspath $(BIN)):$$PATH" sketchforge eval report $(if $(filter-out out,$(SHARDS)),--shards $(SHARDS))
	@echo "to be read in a browser: $(abspath eval/report.html)"

docs: $(VENV)/.docs-install ## build the documents as a site, with search, into build/site/; a link that leads nowhere is an error
	PATH="$(abspath $(BIN)):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict -f docs/site/mkdocs.yml
	@echo "to be read in a browser: $(abspath build/site/index.html)"

test: $(VENV)/.tested-install ## run the tests on all cores (SKETCHFORGE_TEST_DATA=DIR adds those on real photos)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not kill"

test-all: $(VENV)/.tested-install ## the same, and those marked slow (trainings that have to learn) or kill (strikes at random)
	$(BIN)/python -m pytest -n auto --dist worksteal

check: $(VENV)/.dev-install ## format, lint and types: what has to be clean before a commit (seconds, the first time a minute)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev-install ## mend what `make check` says of format, and of lint what can be mended safely
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: $(VENV)/.dev-install ## run the tests, and list the lines of sketchforge, trainers and cli that they never reach
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not kill" --cov --cov-report=term-missing:skip-covered

mutate: $(VENV)/.tested-install ## break losses, steps, metrics and shards in one place at a time: MUTANTS=20 of each module, does a test see it?
	$(BIN)/python -m tests.mutate --mutants $(MUTANTS) --seed $(SEED)

soak: $(VENV)/.tested-install ## the long campaigns: KILLS=200 renderings and TRAINING_KILLS=50 of each training struck, FUZZ=20000 damaged inputs, SERVER=500 bad servers
	$(BIN)/python -m pytest tests/render/test_kills.py tests/render/test_fuzz.py tests/shards/test_hostile_server.py --kills $(KILLS) --training-kills $(TRAINING_KILLS) --fuzz $(FUZZ) --server $(SERVER) --campaign-seed $(SEED)

dist: $(VENV)/.tested-install ## build wheel and source archive into dist/, and check what they say of themselves
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

clean: ## remove what demo, the trainings, eval and docs made; .venv stays
	rm -rf build/site eval runs/tom runs/ae runs/gan runs/style2paints runs/segin runs/diffsketching runs/comparison $(SHARDS) $(SHARDS)-canny $(SHARDS)-gallery.png $(SHARDS)-gallery.html

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than 3.11; name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "error: no virtual environment could be made; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.installed: setup.cfg pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV): some minutes and 6 GB, most of it torch"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[app,eval]'
	@touch $@

$(VENV)/.diffusion-install: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[app,eval,diffusion]'
	@touch $@ $(VENV)/.installed

# Of twelve thousand modules the tests import a quarter: those are compiled then, in less time than all.
$(VENV)/.tested-install: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[test]'
	@touch $@ $(VENV)/.installed $(VENV)/.diffusion-install

$(VENV)/.docs-install: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

$(VENV)/.dev-install: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[dev]'
	@touch $@ $(VENV)/.installed $(VENV)/.diffusion-install $(VENV)/.tested-install
