"""Stage fetch: the files of a data set, from the first source that has them.

All missing files are verified before the first one is written, so that a source that fails halfway leaves none behind.
"""

import argparse
import os
from pathlib import Path

from pipeline import cli, files
from pipeline.data import download, sets, verify
from pipeline.data.image_set import ImageSet
from pipeline.data.sources import Directory


def fetch(name: str, image_set: ImageSet, output: Path, root: Path) -> None:
    """Write the files of the data set `name` into `output`; a source's relative directory starts at `root`.

    Files that are there and verified stay, without any request. A data set whose only sources are local directories
    has to be in one of these as it is stated, if any is there.

    Raises:
        PipelineError: No source has the files (the message has a reason for each source), or they cannot be written.
    """
    if isinstance(image_set, sets.FolderSet):
        download.copy_folders(name, image_set, output, root)
        return
    everything, is_here = image_set.all_files, download.is_here(image_set, root)
    for leftover in (path for file in everything for path in output.glob(f".{file.name}.*.part*")):
        # Of a run that was killed.
        leftover.unlink(missing_ok=True)
    missing = [file for file in everything if not verify.is_at(file, output / file.name)]
    if not missing and not is_here:
        print(f"{output}: the {len(everything)} files of {name} are there and verified")
        return
    wanted = everything if is_here else missing
    contents = download.from_first(
        name, image_set.sources, lambda source: download.take(source, image_set, wanted, root), root
    )
    for file in missing:
        files.write_bytes(output / file.name, contents[file.name])
        if file.sha256 is None:
            checksum = verify.sha256(contents[file.name])
            advice = f"written into data/sets/{name}.yaml by you, this key saves downloading the file again"
            print(f"{file.name}: sha256: {checksum} ({advice})")


def main() -> int:
    """Fetch the files of a data set into a directory, from the first source that has them."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.fetch", description=main.__doc__)
    parser.add_argument("--set", type=Path, required=True, help="YAML that describes the data set")
    parser.add_argument("--output", type=Path, required=True, help="directory for its files")
    parser.add_argument("--copies", type=Path, help="directory that may have verified copies; it is tried first")
    arguments = parser.parse_args()
    inputs = files.Inputs("fetch", arguments.set)
    image_set = sets.load(arguments.set)
    if arguments.copies and arguments.copies.is_dir():
        near = Directory(directory=str(arguments.copies.resolve()))
        image_set = image_set.model_copy(update={"sources": (near, *image_set.sources)})
    fetch(arguments.set.stem, image_set, arguments.output, Path(os.environ.get("DVC_ROOT", "")))
    inputs.check()
    return 0


if __name__ == "__main__":
    cli.run(main)
