# Every target makes what it needs, in .venv; nothing else on the machine is touched.
.DEFAULT_GOAL := help
PYTHON ?= python3
COMPILE = uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	--python-version 3.11 --custom-compile-command 'make lock'

# DVC runs a stage with whatever `python` it finds first.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS = 1
export MLFLOW_DISABLE_TELEMETRY = true

.PHONY: help repro study test test-slow lint check-lock gate promote sync ui demo bench faults team lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

repro: .venv/complete .dvc/scm ## run the whole pipeline, or what has changed of it
	dvc repro

study: .venv/complete .dvc/scm ## run what the study lacks, on this machine or DASK_SCHEDULER_ADDRESS, and its report
	dvc repro study/dvc.yaml

test: .venv/complete ## run the tests that take minutes at most
	python -m pytest --numprocesses auto --dist loadfile

test-slow: .venv/complete .venv/team ## run the tests that take long, or need a browser or a server
	python -m pytest -m slow

lint: .venv/complete ## check style, types, and what is known of insecure code and packages
	ruff check .
	ruff format --check .
	mypy
	bandit --quiet --recursive --severity-level medium pipeline
	@pip-audit --strict --disable-pip --require-hashes --requirement requirements-team.lock >.venv/audit 2>&1 || { \
		grep -q 'known vulnerabilit' .venv/audit && { cat .venv/audit; exit 1; }; \
		echo "notice: pip-audit judged nothing here: $$(tail -n 1 .venv/audit)"; }

check-lock: .venv/complete .dvc/scm ## check that dvc.lock fits code and params; needs no data
	@out=$$(dvc repro --dry --allow-missing 2>&1) && ! printf '%s\n' "$$out" | grep 'Running stage' || { \
		printf '%s\n' "$$out" | grep ERROR; \
		echo 'error: dvc.lock does not fit the code: run `make repro` and commit dvc.lock and reports/' >&2; exit 1; }
	@echo 'dvc.lock fits code and params'

gate: .venv/complete ## judge the committed metrics; BASELINE=origin/main also limits what may be lost
	python -m pipeline.gate $(if $(BASELINE),--baseline $(BASELINE))

promote: .venv/complete ## make a model the champion in MLflow; MODEL=cnn; REPLACE=1 where it cannot be compared
	python -m pipeline.promote $(MODEL) $(if $(REPLACE),--replace)

sync: .venv/complete ## give MLflow what it lacks of the trained models
	python -m pipeline.sync

ui: export MLFLOW_PORT := $(or $(PORT),5000)
ui: sync ## show the runs in a browser, on this machine only; PORT=5000
	@case "$${MLFLOW_TRACKING_URI:=sqlite:///mlflow.db}" in http*) ;; *) \
		MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
		exec mlflow ui --host 127.0.0.1 --workers 1 --backend-store-uri "$$MLFLOW_TRACKING_URI" ;; esac

demo: .venv/complete ## draw a digit in a browser and see each model's answer; PORT=8000
	python -m pipeline.demo $(if $(PORT),--port $(PORT))

bench: .venv/complete .venv/torch/complete repro ## measure this project beside plain Keras and PyTorch (an hour)
	python -m benchmarks.run

faults: .venv/complete ## write the list of the faults that the tests cover
	python -m tests.support.list_faults

team: .venv/team ## add what an S3 remote and a PostgreSQL server need

# uv keeps the versions that it finds in its output, so the team's file begins as a copy of the other.
lock: ## choose newer versions of all packages (needs uv)
	$(COMPILE) --upgrade --extra dev --output-file requirements.lock pyproject.toml
	cp requirements.lock requirements-team.lock
	$(COMPILE) --extra dev --extra team --output-file requirements-team.lock pyproject.toml

clean: ## remove what can be made again; asks before it removes results
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache dvc_plots
	find pipeline tests -name __pycache__ -type d -exec rm -rf {} +
	@printf 'Also remove the DVC cache, mlflow.db, mlruns/ and work/, that is all trained models and runs? [y/N] '; \
		read -r answer || answer=n; case "$$answer" in \
		[yY]*) rm -rf .dvc/cache .dvc/tmp mlflow.db* mlruns work ;; *) echo kept ;; esac

.venv/complete: requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info; ok = (3, 11) <= v < (3, 14); \
		ok or print("error: Python 3.11 to 3.13 is needed and $(PYTHON) is %d.%d;" % v[:2], \
		"name another one: make PYTHON=python3.13", file=sys.stderr); sys.exit(0 if ok else 2)'
	$(PYTHON) -m venv --clear .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

.venv/team: requirements-team.lock .venv/complete
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-team.lock
	@touch $@

# In an environment of its own: the project does without PyTorch.
.venv/torch/complete: .venv/complete
	$(PYTHON) -m venv .venv/torch
	.venv/torch/bin/python -m pip install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0
	@touch $@

# Without git (an unpacked archive), DVC has to be told so; its diffs and experiments then do not work.
.dvc/scm: .venv/complete
	@git rev-parse --git-dir >/dev/null 2>&1 || { \
		echo 'notice: no git here: the pipeline runs; diffs and experiments need a clone'; dvc config --local core.no_scm true; }
	@touch $@
