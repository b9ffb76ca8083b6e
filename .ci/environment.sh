# Sourced at the repository's root: .venv is complete and first on PATH, as for make's targets, and nothing of the
# caller's Python reaches it.
make --silent .venv/complete >&2
unset "${!PYTHON@}"
export PATH="$PWD/.venv/bin:$PATH" SHELL=/bin/sh DVC_NO_ANALYTICS=1 MLFLOW_DISABLE_TELEMETRY=true
