# Set-up is part of every target: a virtual environment in .venv, made once and again when the
# requirements change. With another interpreter: make clean, then make test PYTHON=python3.12; a .venv that
# is there keeps its own.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The handout's solver needs tens of thousands of iterations; this one gets there on drawings in 600.
DEMO := --model_dir runs/demo --steps 600 --eval_every 100 --batch_size 16 \
	--init xavier --learning_rate 0.005 --dropout 0.2 --summary_every 10 --images_every 100 \
	--histograms_every 100 --checkpoint_every 200

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint tensorboard report clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime  ## train CaffeNet on the built-in sample, 5 to 15 minutes with set-up
	DATA_DIR= $(BIN)/python 02_pascal_alexnet.py $(DEMO)

test: lint  ## lint, then the tests, about 5 minutes with set-up
	@# Two processes, however many cores: each of them may come to train VGG-16, which takes 4 GB.
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: lint  ## lint, then all tests, the slow ones too
	$(BIN)/python -m pytest -m ""

lint: $(VENV)/.development  ## ruff: pyflakes, pycodestyle, isort, bugbear; its formatter
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .

tensorboard: $(VENV)/.runtime  ## show all runs, on http://localhost:6006
	@# It needs no GPU, and without this complains that there is none.
	CUDA_VISIBLE_DEVICES=-1 $(BIN)/tensorboard --logdir runs

report: $(VENV)/.runtime  ## answer every question of the handout from the runs at hand, in report.html
	@mkdir -p runs
	$(BIN)/python -m common.report runs -o report.html

clean:  ## remove the virtual environment, decoded images and the sample; runs/ stays
	rm -rf $(VENV) cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.runtime: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
		{ echo "make: Python 3.10 to 3.13 is needed; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# The pip that comes with Python 3.10 searches for minutes for versions that fit together.
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/.development: requirements-dev.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@
