"""The map of the package: stages that dvc.yaml chains, commands that people call, and what both stand on.

Each folder is one subject and has a map of its own.

Stages, one pure function and a main() each; dvc.yaml hands them their paths:
    fetch       the files of the data set, from the first source that has them
    preprocess  files -> one npz with the splits and class names, counts, a figure of samples
    train       one model of params.yaml -> .keras file, history, an MLflow run
    evaluate    the trained model in inference mode on every image -> metrics, probabilities
    report      comparison, overfitting analysis, figures -> report.md, report.html, tables

Commands:
    describe    images on a disk -> data/local/NAME, data/sets/NAME.yaml, and what to know of them
    sync        MLflow brought up to the files in the workspace
    ui          MLflow's pages of the runs, and the link to the current ones
    gate        committed metrics checked against the bounds in params.yaml -> exit code
    rerun       a run of MLflow trained again, from its commit, and compared
    promote     a trained model -> the champion in MLflow's registry, by gate and comparison
    verdict     revisions or experiments, trained with many seeds -> better, worse, no relevant difference
    predict     pictures -> class names, by one trained model
    demo        a page that takes a drawing or a picture, and each trained model's answer

Common to all:
    params      params.yaml -> frozen, validated objects; the only reader of that file
    bounds      what the gate requires: the section `gate` of params.yaml
    smallest_effect  which differences matter: the section `verdict` of params.yaml
    schema      what a YAML file may hold, and one line per fault in it
    files       atomic writes, checked reads, checksums
    dvc_lock    what dvc.lock records, and inputs checked against it
    revision    files as an earlier git revision has them
    machine     the processor: it decides the last bits of a result, and its seconds
    cli         how a command ends: exit codes, signals
    errors      what a user can cause: where, what, what to do

Folders:
    data        the images: where they come from, their formats, their splits
    training    networks, optimizers, the loop, checkpoints, model files
    tracking    MLflow: the only importer of mlflow
    analysis    scores, overfitting, statistics
    reporting   tables, figures and pages
    inference   pictures -> answers of trained models
    trials      many seeds of anything: planned, trained where they are missing, kept
    study       many seeds and ablations, and what becomes of the original report's claims
    verdicts    what scores of several sides say about a change, whoever trained them
"""

import gc
import importlib.util
import os
import sys
import warnings

# Before anything imports matplotlib, as MLflow does: a notebook's shells export a backend that is not installed here.
os.environ["MPLBACKEND"] = "agg"
# tqdm reads them when it is imported, and a value that is none would end what it shows the progress of.
for _name in [name for name in os.environ if name.startswith("TQDM_")]:
    del os.environ[_name]

if any(option.partition(":")[0] == "error" for option in sys.warnoptions):
    # Warnings are about the code of the libraries; as errors, they would end a training run when it saves.
    warnings.simplefilter("default")
if sys.argv[0] == "-m":
    # A program starts. Nothing that it imports is garbage, and the search for some takes a fifth of the time; cli.run
    # ends this.
    gc.disable()

_missing = [name for name in ("keras", "mlflow", "pydantic", "tensorflow") if importlib.util.find_spec(name) is None]
if _missing and sys.argv[0] == "-m":
    print(
        f"error: {sys.executable} is missing {', '.join(_missing)}: call make, or put .venv/bin first on PATH",
        file=sys.stderr,
    )
    raise SystemExit(2)
