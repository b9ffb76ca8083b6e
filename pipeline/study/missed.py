"""Stage missed: the test images of a data set that most replicates miss, as a figure."""

import argparse
from pathlib import Path

import numpy as np

from pipeline import cli, files
from pipeline.data import dataset
from pipeline.reporting.plots import grids, style
from pipeline.trials import prepared

MOST = 40


def main() -> int:
    """Draw the test images that most replicates miss, each with its label and the class that most of these answer."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.study.missed", description=main.__doc__)
    parser.add_argument("name", help="the data set")
    parser.add_argument("--data", type=Path, required=True, help="directory with prepare's npz files")
    parser.add_argument("--summaries", type=Path, required=True, help="directory with prepare's JSON files")
    parser.add_argument("--missed", type=Path, required=True, help="CSV written by report")
    parser.add_argument("--output", type=Path, required=True, help="PNG to write")
    arguments = parser.parse_args()
    npz, described = arguments.data / f"{arguments.name}.npz", arguments.summaries / f"{arguments.name}.json"
    inputs = files.Inputs("study/dvc.yaml:missed", npz, described, arguments.missed)
    summary = prepared.load(arguments.summaries, [arguments.name])
    (data,) = prepared.verified(arguments.data, summary)
    table = files.read_csv(arguments.missed)
    most = table[table["dataset"] == arguments.name].head(MOST)
    if most.empty:
        # DVC expects the file all the same.
        figure = grids.samples(np.zeros((1, *data.shape), np.uint8), 1, 1)
    else:
        images = dataset.load(data.path).test.images[most["image"].to_numpy()]
        shown, answers = grids.drawn(images, negative=data.summary["negative"]), most["answer"].to_numpy()
        labels, classes = most["label"].to_numpy(), data.summary["classes"]
        figure = grids.gallery(shown, labels, {"most answers": answers}, classes)
    style.save(figure, arguments.output)
    inputs.check()
    return 0


if __name__ == "__main__":
    cli.run(main)
