# Two commands: `make book` and `make test`. Only python3 (3.11 or newer) and make are needed.
PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
PYTEST := $(PY) -m pytest
UNIT := OMP_NUM_THREADS=1 $(PYTEST) -n 2 tests --ignore-glob='tests/test_pages*.py'
CHECK_FORM := $(PY) -m check_jsonschema --builtin-schema vendor

.NOTPARALLEL:
.PHONY: help book assignments pdf test unit mutants colab clean-book clean
.PHONY: hooks address links colab-image executed publish-notebooks sitemap issue

help:
	@echo 'make book        set up, execute every notebook, render the book'
	@echo 'make pdf         the same, then print all of it into _build/minidiff.pdf; needs Chromium'
	@echo 'make assignments divide the masters into what students get and what graders get'
	@echo 'make sandbox     install what the grader of the assignments runs students in'
	@echo 'make test        set up, run everything that tests the package and the book'
	@echo 'make unit        the quick loop: unit tests alone, without the slow ones'
	@echo 'make mutants     break the package expression by expression: does a test notice?'
	@echo 'make colab       run the notebooks as on Colab: fresh environments, one for each Python here;'
	@echo '                 ONLY=3.13, oldest or pinned runs them in that one alone'
	@echo 'make bench       measure minidiff beside its peers, in an environment of its own'
	@echo 'make hooks       check style and strip notebooks at every git commit'
	@echo 'make address     ADDRESS=https://github.com/OWNER/NAME, the public address; ADDRESS= for none'
	@echo 'make links       follow every link of the book'
	@echo 'make colab-image run the notebooks in the image that Colab itself runs'
	@echo 'make executed    the notebooks with the outputs of make book, in _build/executed'
	@echo 'make publish-notebooks  commit those to the branch that the Colab button opens, and push it'
	@echo 'make sitemap     list the rendered pages by their public addresses'
	@echo 'make clean-book  forget the rendered book and the stored results of its notebooks'
	@echo 'make clean       forget everything that was made, the environment included'

$(READY): requirements.txt pyproject.toml
	@echo '== environment: .venv from requirements.txt (minutes the first time)'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "minidiff needs Python 3.11 or newer; say which with: make PYTHON=python3.x")'
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet -r requirements.txt
	$(PY) -m pip install --quiet --no-deps -e .
	@touch $@

book: $(READY)
	$(PY) tools/build.py

assignments: $(READY)
	$(PY) tools/assignments.py

pdf: book
	$(PY) tools/pdf.py

unit: $(READY)
	$(UNIT) -m 'not slow'

test: $(READY)
	@echo '== style and types'
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(CHECK_FORM).github-workflows .github/workflows/*.yml
	.venv/bin/zizmor --offline --no-progress --quiet .github
	$(CHECK_FORM).github-issue-forms .github/ISSUE_TEMPLATE/[0-9]*.yml
	$(CHECK_FORM).citation-file-format CITATION.cff
	@echo '== unit tests, with line and branch coverage'
	$(UNIT) --cov --cov-report=term
	@echo '== equations: labelled, implemented, tested'
	$(PY) tools/ledger.py --check
	@echo '== notebooks: stripped, and run by nbval'
	$(PY) -m nbstripout --verify --keep-id --keep-count book/*.ipynb
	OMP_NUM_THREADS=1 $(PYTEST) --nbval-lax -W default -n 2 --dist loadfile book
	@echo '== the rendered book, in a browser'
	$(PY) tools/build.py
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder -rs tests/test_pages*.py

mutants: $(READY)
	$(PY) tools/mutants.py
	$(PY) tools/failures.py

colab: $(READY)
	$(PY) tools/colab.py $(ONLY)

# What the grader's sandbox needs, on Debian and Ubuntu; elsewhere, install bubblewrap.
SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)
NAMESPACES := /proc/sys/kernel/apparmor_restrict_unprivileged_userns
.PHONY: sandbox
sandbox:
	command -v bwrap || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -q -y bubblewrap; }
	test ! -e $(NAMESPACES) || grep -q 0 $(NAMESPACES) || echo 0 | $(SUDO) tee $(NAMESPACES)

.PHONY: bench
BENCH_READY := _build/bench-env/.ready
BENCH_PIP := _build/bench-env/bin/python -m pip install --quiet
bench: $(BENCH_READY)
	OMP_NUM_THREADS=1 _build/bench-env/bin/python bench/run.py $(BENCH)

$(BENCH_READY): requirements.txt bench/requirements.txt
	$(PYTHON) -m venv _build/bench-env
	$(BENCH_PIP) -c requirements.txt torch numpy tqdm scikit-learn safetensors pillow
	$(BENCH_PIP) --no-deps -r bench/requirements.txt
	$(BENCH_PIP) --no-deps -e .
	@touch $@

hooks: $(READY)
	$(PY) -m pre_commit install

# What follows is what the workflows in .github call. ADDRESS reaches the tool in the environment.
address: $(READY)
	$(PY) tools/publish.py address

links: $(READY)
	$(PY) tools/publish.py links

colab-image: $(READY)
	$(PY) tools/publish.py colab-image

executed: $(READY)
	$(PY) tools/publish.py executed

publish-notebooks: executed
	$(PY) tools/publish.py notebooks

sitemap: $(READY)
	$(PY) tools/publish.py sitemap

issue:
	$(PYTHON) tools/issue.py

clean-book:
	rm -rf _build book/equations.md

clean: clean-book
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage*
	find minidiff tests tools book -name __pycache__ -prune -exec rm -rf {} +
