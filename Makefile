# make demo: a talking video from nothing.  make test: set up and run the tests.  make help: the rest.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint check-clean clean

VENV := .venv
VENV_TEST := .venv-test
PHOTO := examples/data/portrait.jpg
SPEECH := examples/data/speech.ogg

help:
	@echo "make demo          write out/demo.mp4 and its contact sheet out/demo.png (PHOTO=... SPEECH=... for your own)"
	@echo "make test          run the tests"
	@echo "make lint          ruff and mypy"
	@echo "make check-clean   fail if the working tree holds anything that is not committed"
	@echo "make clean         remove environments, caches and results"

$(VENV)/.ready: pyproject.toml scripts/venv.sh
	@scripts/venv.sh $(VENV) cpu,provenance

$(VENV_TEST)/.ready: pyproject.toml scripts/venv.sh
	@scripts/venv.sh $(VENV_TEST) cpu,dev,live,provenance

setup: $(VENV)/.ready

demo: setup
	@mkdir -p out
	$(VENV)/bin/talkinghead dub $(PHOTO) $(SPEECH) --crop -o out/demo.mp4
	@$(VENV)/bin/python examples/contact_sheet.py out/demo.mp4 out/demo.png
	@echo "video:         $(CURDIR)/out/demo.mp4"
	@echo "contact sheet: $(CURDIR)/out/demo.png"

test: $(VENV_TEST)/.ready
	$(VENV_TEST)/bin/python -m pytest

lint: $(VENV_TEST)/.ready
	$(VENV_TEST)/bin/ruff check .
	$(VENV_TEST)/bin/mypy

check-clean:
	@test -z "$$(git status --porcelain)" || { git status --short; exit 1; }

clean:
	rm -rf $(VENV) $(VENV_TEST) out .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
