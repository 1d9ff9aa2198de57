# make book · make test · make exercises · make bench · make clean   (see README.md)

# Some machines set this variable; it makes every Python start compile everything again.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
EXTRAS := torch,tensorflow,training,trust,book,grading,dev

.PHONY: help book test exercises bench clean

help:
	@echo "make book       build the book into book/_build/html"
	@echo "make test       run every test (builds the book first)"
	@echo "make exercises  generate exercises/ from solutions/"
	@echo "make bench      measure speed as ratios; FULL=1 adds the long learning runs"
	@echo "make clean      remove everything that was built, but not .venv"

book: $(INSTALLED)
	@$(BIN)/course book

# The browser tests open the built site, and nbval reads the executed pages: so the book comes first.
# A process for each core, each of which computes on one thread.
test: book
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

exercises: $(INSTALLED)
	@$(BIN)/course release

bench: $(INSTALLED)
	@$(BIN)/python benchmarks/run.py $(if $(FULL),--full)

clean:
	rm -rf build book/_build book/assets/vendor book/assets/node_modules

# The marker file is written last: an install that was cut off starts again.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: no python3 found. Install Python 3.11 or newer, or run: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make: $(PYTHON) is Python %d.%d; the course needs 3.11 or newer. Run: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@
