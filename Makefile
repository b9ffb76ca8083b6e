# Every target makes what it needs, in .venv; nothing else on the machine is touched.
.DEFAULT_GOAL := help
PYTHON ?= python3
COMPILE = uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	--python-version 3.11 --custom-compile-command 'make lock'

# DVC runs a stage with whatever `python` it finds first, in the shell that SHELL names.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export SHELL := /bin/sh
export DVC_NO_ANALYTICS = 1
export MLFLOW_DISABLE_TELEMETRY = true

# The caller's settings for another Python, another place to install to, or another repository (as git sets them in its
# hooks) would break .venv and the tests.
unexport $(filter-out PYTHONUNBUFFERED PYTHONDONTWRITEBYTECODE,$(filter PYTHON%,$(.VARIABLES)))
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT
unexport GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_COMMON_DIR GIT_OBJECT_DIRECTORY GIT_NAMESPACE GIT_PREFIX
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check --no-user --require-hashes

# DVC reads the repository without git's help. Only where no folder upward has a `.git` (an unpacked archive) must it be
# told so. That is done for each call, by a configuration in the place of the system's, so that nothing is stored: diffs
# and experiments work as soon as there is a repository.
HAS_GIT = $(shell folder=$$PWD; until [ -e "$$folder/.git" ] || [ -z "$$folder" ]; do folder=$${folder%/*}; done; \
	[ ! -e "$$folder/.git" ] || echo yes)
DVC = $(if $(HAS_GIT),,DVC_SYSTEM_CONFIG_DIR="$$PWD/.dvc/without-git" )dvc

.PHONY: help quick data repro study check test test-slow lint audit check-lock pages check-pages gate verdict promote \
	rerun sync ui serve demo bench team lock clean git moved

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

repro: .venv/complete git ## run the whole pipeline, or the stages that a change affects
	$(DVC) repro
	@# Where DVC took the results from its cache, no stage has told MLflow which runs are current.
	@python -m pipeline.sync $(if $(REQUIRE_TRACKING),,--optional)
	@# Elsewhere the last digits differ; these lines say whether it is the same result all the same.
	@python -m pipeline.study.reproduction

quick: .venv/complete ## look at it, offline: every stage on 1,797 small digits; writes work/quick/report.html
	@.ci/digits work/quick
	@echo 'work/quick/report.html has the report: the same stages as those of `make repro`, on few images and epochs'

# What a user says is one word for the shell, whatever is in it.
quoted = '$(subst ','\'',$(1))'
each = $(foreach word,$(value $(1)),$(call quoted,$(word)))
option = $(if $(value $(2)),--$(1)=$(call quoted,$(value $(2))))

data: .venv/complete git ## bring your own images: NAME=stones FROM=~/pictures; SIZE, SCALE, LABEL, LEVEL, GROUP, CREDIT
	@$(if $(and $(value NAME),$(value FROM)),,echo 'error: say what and from where: make data NAME=stones FROM=~/pictures' >&2; exit 2)
	@python -m pipeline.describe $(call option,size,SIZE) $(call option,scale,SCALE) $(call option,label,LABEL) \
		$(call option,level,LEVEL) $(call option,group,GROUP) $(call option,credit,CREDIT) \
		-- $(call quoted,$(value NAME)) $(call quoted,$(value FROM))
	@# Each version of them is kept, for experiments, verdicts and other clones.
	@$(DVC) add --quiet $(call quoted,data/local/$(value NAME))

study: .venv/complete git ## run the study's missing replicates, here or at DASK_SCHEDULER_ADDRESS, and its report
	$(DVC) --cd study repro
	@# Where DVC skipped the stage, or MLflow did not answer, it is missing replicates.
	@python -m pipeline.study.sync --optional

check: test lint check-lock check-pages gate ## run what CI requires of a change, before a pull request

# Reordered, the files of few tests would come last: they are those that take longest.
test: .venv/complete ## run the tests, except those marked slow
	python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-slow: .venv/complete .venv/team ## run the tests that take long, or need a browser or a server
	python -m pytest -m slow

lint: .venv/complete ## check style, types and insecure code
	ruff check .
	ruff format --check .
	mypy
	bandit --quiet --recursive --severity-level medium pipeline

# Not part of `check`: what becomes known of a package is no fault of a change.
audit: .venv/complete ## ask whether locked packages have known vulnerabilities
	pip-audit --strict --disable-pip --require-hashes --requirement requirements-team.lock

# A stage that would run is reported as running or, where its data is missing, as failed. Any other failure is no answer.
check-lock: .venv/complete git ## check that dvc.lock matches code and params; needs no data
	@code=0; out=$$($(DVC) repro --dry --allow-missing 2>&1) || code=$$?; \
	if printf '%s\n' "$$out" | grep -E "Running stage|failed to reproduce '.*No such file or directory"; then \
		echo 'error: dvc.lock does not match code and params: run `make repro`, commit dvc.lock and reports/' >&2; \
		exit 1; \
	elif [ $$code != 0 ]; then \
		printf '%s\nerror: dvc.lock cannot be checked: DVC failed, for the reason above\n' "$$out" >&2; exit 2; \
	else echo 'dvc.lock matches code and params'; fi

pages: .venv/complete ## write what follows from other committed files: the README's results, docs/params.md, tests/FAULTS.md
	python -m tests.support.pages

check-pages: .venv/complete ## check that committed pages, results and bounds agree with each other; needs no data
	python -m tests.support.pages --check

gate: .venv/complete ## check the committed metrics; BASELINE=origin/main also limits how much worse they may be
	python -m pipeline.gate $(call option,baseline,BASELINE)

verdict: .venv/complete ## train both sides of a change with many seeds: is it real? A=HEAD B="slower wider"; MODEL, SEEDS, MINUTES, METRIC
	python -m pipeline.verdict --exit-zero $(or $(call each,A),HEAD) $(or $(call each,B),workspace) \
		$(call option,model,MODEL) $(call option,seeds,SEEDS) $(call option,minutes,MINUTES) $(call option,metric,METRIC)

promote: .venv/complete ## make a model the champion in MLflow; MODEL=cnn; REPLACE=1 skips the comparison; GTO=1 tags it
	@[ $(words $(value MODEL)) = 1 ] || { echo 'usage: make promote MODEL=NAME [REPLACE=1] [GTO=1]' >&2; exit 2; }
	python -m pipeline.promote $(call each,MODEL) $(if $(REPLACE),--replace) $(if $(GTO),--gto)

rerun: .venv/complete ## train a run of MLflow again from its commit, and compare; RUN=ID
	@[ $(words $(value RUN)) = 1 ] || { echo 'usage: make rerun RUN=ID; `make ui` shows the ids of runs' >&2; exit 2; }
	python -m pipeline.rerun $(call each,RUN)

sync: .venv/complete ## add to MLflow what is missing of the trained models and of the study
	@code=0; python -m pipeline.study.sync || code=$$?; python -m pipeline.sync || code=$$?; exit $$code

ui: .venv/complete ## show the runs in a browser, on this machine only; PORT=5000
	@python -m pipeline.study.sync
	@exec python -m pipeline.ui $(call option,port,PORT)

serve: .venv/complete ## answer over HTTP with the champion, on this machine only; PORT=5002
	@name=$$(sed -n 's/.*"registered_model": "\(.*\)".*/\1/p' reports/promotion.json); \
		[ -n "$$name" ] || { echo 'error: no champion yet: `make promote MODEL=NAME`' >&2; exit 2; }; \
		MLFLOW_TRACKING_URI=$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} \
		exec mlflow models serve -m "models:/$$name@champion" --env-manager local --port $(call quoted,$(or $(value PORT),5002))

demo: .venv/complete ## draw a digit or give a picture in a browser, see each model's answer; PORT=8000
	python -m pipeline.demo $(call option,port,PORT)

bench: .venv/complete .venv/torch/complete repro ## compare speed with plain Keras and PyTorch (an hour)
	python -m benchmarks.run

team: .venv/team ## install what an S3 remote and a PostgreSQL server need

# uv keeps the versions that it finds in its output, so the team's file begins as a copy of the other.
lock: ## choose newer versions of all packages, or of PACKAGE=mlflow alone (needs uv)
	$(COMPILE) $(if $(PACKAGE),--upgrade-package $(PACKAGE),--upgrade) --extra dev --output-file requirements.lock pyproject.toml
	cp requirements.lock requirements-team.lock
	$(COMPILE) --extra dev --extra team --output-file requirements-team.lock pyproject.toml

clean: ## remove what can be made again; asks before it removes results
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache dvc_plots
	find pipeline tests -name __pycache__ -type d -exec rm -rf {} +
	@printf 'Also remove the DVC cache, mlflow.db, mlruns/ and work/, that is all trained models and runs? [y/N] '; \
		read -r answer || answer=n; case "$$answer" in \
		[yY]*) rm -rf .dvc/cache .dvc/tmp mlflow.db* mlruns work ;; *) echo kept ;; esac

# The programs in .venv name the folder in which they were installed: after a move, they are installed again.
MOVED = $(shell [ ! -s .venv/complete ] || [ "$$(cat .venv/complete)" = "$$(pwd -P)" ] || echo moved)

.venv/complete: requirements.lock $(MOVED)
	@$(PYTHON) -c 'import sys; v = sys.version_info; ok = (3, 11) <= v < (3, 14); \
		ok or print("error: Python 3.11 to 3.13 is needed and $(PYTHON) is %d.%d;" % v[:2], \
		"name another one: make PYTHON=python3.13", file=sys.stderr); sys.exit(0 if ok else 2)'
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python $(PIP_INSTALL) -r requirements.lock
	@pwd -P >$@
	@# The page of `dvc plots`, so that it needs no network; without it, DVC's own page loads its scripts from there.
	@.venv/bin/python -m pipeline.reporting.offline .dvc/plots/page.html
	@$(DVC) config --local plots.html_template plots/page.html

.venv/team: requirements-team.lock .venv/complete
	.venv/bin/python $(PIP_INSTALL) -r requirements-team.lock
	@touch $@

# In an environment of its own: the project does without PyTorch.
.venv/torch/complete: .venv/complete
	$(PYTHON) -m venv .venv/torch
	.venv/torch/bin/python -m pip install --quiet --disable-pip-version-check --no-user numpy==2.4.6 torch==2.13.0
	@touch $@

moved:

# Say in git's own words why it does not work here, and what that means; the pipeline runs without it.
git:
	@reason=$$(git rev-parse --git-dir 2>&1 >/dev/null) || { printf '%s\n' "$$reason"; \
		echo 'notice: $(if $(HAS_GIT),git fails here (see above),this folder is not a git repository): the pipeline runs;' \
		'diffs and experiments need git'; } >&2
