"""How many seeds decide each comparison and each claim, from the ledger: the numbers behind the report's section."""

import argparse

from pipeline import cli
from pipeline.errors import InputError
from pipeline.study import results


def main() -> int:
    """Print how many seeds of each variant decide each comparison and claim, and the core-hours that they take."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.study.power", description=main.__doc__)
    results.add_arguments(parser)
    cli.add_json_argument(parser)
    arguments = parser.parse_args()
    found = results.read(arguments).seeds
    if not found:
        fix = "`make study` trains what is missing"
        raise InputError("every comparison has too few seeds to plan with", path=arguments.runs, fix=fix)
    content = {"seeds": [{**vars(one), "subject": one.name} for one in found]}
    head = ("comparison or reading", "verdict", "assumed difference", "spread", "power", "seeds", "core-hours")
    rows = [
        (one.name, one.verdict, one.difference, one.spread, f"{one.power:.0%}", one.count, one.hours) for one in found
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return cli.answer(arguments.json, "\n".join(line.rstrip() for line in lines), content)


if __name__ == "__main__":
    cli.run(main)
