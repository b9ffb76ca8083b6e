"""The map of the package: stages that dvc.yaml chains, commands that people call, and what both stand on.

Stages, one pure function and a main() each; dvc.yaml hands them their paths:
    fetch       the four IDX files of the data set, from the first source that has them
    preprocess  IDX files -> one npz with the splits, counts, a figure of digits
    train       one model of params.yaml -> .keras file, history, an MLflow run
    evaluate    the trained model in inference mode on every image -> metrics, probabilities
    report      comparison, overfitting analysis, figures -> report.md, report.html, tables

Commands:
    gate        committed metrics against the bounds in params.yaml -> exit code

Library:
    params      params.yaml -> frozen, validated objects; the only reader of that file
    idx         IDX bytes <-> arrays          dataset      the npz with its splits
    networks    MLP and CNN from params       optimizers   the report's update rules
    backend     how TensorFlow is started     checkpoint   resume after a kill
    tracking    the only importer of mlflow   plots        the only importer of matplotlib
    statistics  intervals and paired tests    overfitting  histories -> onset, rise, verdict
    metrics     scores of a classifier        files        files that appear whole, sums
    cli         exit codes
"""

import importlib.util
import sys

_missing = [name for name in ("keras", "mlflow", "pydantic", "tensorflow") if importlib.util.find_spec(name) is None]
if _missing and sys.argv[0] == "-m":
    print(
        f"error: {sys.executable} lacks {', '.join(_missing)}: call make, or put .venv/bin first on PATH",
        file=sys.stderr,
    )
    raise SystemExit(2)
