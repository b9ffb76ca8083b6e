"""Stage prepare: a data set of the study, with the validation split that all replicates on it share."""

import argparse
from pathlib import Path

from pipeline import cli, files, params, preprocess
from pipeline.data import dataset, sets
from pipeline.params import Data
from pipeline.trials import plan


def main() -> int:
    """Write the npz of one data set of the study, and a summary of it."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.study.prepare", description=main.__doc__)
    parser.add_argument("--set", type=Path, required=True, help="YAML that describes the data set")
    parser.add_argument("--input", type=Path, required=True, help="directory with its files")
    parser.add_argument("--output", type=Path, required=True, help="npz to write")
    parser.add_argument("--summary", type=Path, required=True, help="JSON with counts to write")
    parser.add_argument("--study", type=Path, default=Path("study/params.yaml"), help="YAML with the plan of the study")
    arguments = parser.parse_args()
    inputs = files.Inputs("study/dvc.yaml:prepare", arguments.set, arguments.input)
    study = plan.load_study(arguments.study)
    split = study.data
    described = sets.load(arguments.set)
    data = Data(dataset=arguments.set.stem, validation=split.validation, split_seed=split.split_seed)
    prepared = preprocess.preprocess(data, described, arguments.input, arguments.study)
    count = len(prepared.train)
    params.check_images(study.on(data.dataset), study.training(), prepared.shape, count, arguments.study, "variants")
    dataset.save(arguments.output, prepared)
    summary = preprocess.summarise(data, described, prepared, files.sha256(arguments.output))
    files.write_json(arguments.summary, summary)
    print(preprocess.table(summary))
    inputs.check()
    return 0


if __name__ == "__main__":
    cli.run(main)
