"""Stage prepare: the data of the study, with a validation split that all replicates share."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline import cli, files, params, preprocess
from pipeline.data import dataset
from pipeline.params import Data
from pipeline.study import plan


def main() -> int:
    """Write the npz of the study from the IDX files that the root pipeline fetches, and a summary of it."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.study.prepare", description=main.__doc__)
    parser.add_argument("--input", type=Path, required=True, help="directory with the four IDX files")
    parser.add_argument("--output", type=Path, required=True, help="npz to write")
    parser.add_argument("--summary", type=Path, required=True, help="JSON with counts to write")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="names the IDX files and their sums")
    parser.add_argument("--study", type=Path, default=Path("study/params.yaml"))
    arguments = parser.parse_args()
    split = plan.load(arguments.study).data
    files_of = params.load(arguments.params).data.model_dump(exclude={"validation", "split_seed"})
    held_out = {"validation": split.validation, "split_seed": split.split_seed}
    data = params.validate(Data, files_of | held_out, str(arguments.study))
    prepared = preprocess.preprocess(data, arguments.input)
    dataset.save(arguments.output, prepared)
    summary = preprocess.summarise(data, prepared, files.sha256(arguments.output))
    files.write_json(arguments.summary, summary)
    print(preprocess.table(summary))
    return 0


if __name__ == "__main__":
    cli.run(main)
