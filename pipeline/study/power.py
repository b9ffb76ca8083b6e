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
    needed = results.read(arguments).seeds
    if not needed:
        fix = "`make study` trains what is missing"
        raise InputError("every comparison has too few seeds to plan with", path=arguments.runs, fix=fix)
    content = {"seeds": [{**vars(row), "subject": row.name} for row in needed]}
    head = ("comparison or reading", "verdict", "assumed difference", "spread", "power", "seeds", "core-hours")
    rows = [
        (row.name, row.verdict, row.difference, row.spread, f"{row.power:.0%}", row.count, row.hours) for row in needed
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows))
    return cli.answer(arguments.json, "\n".join(line.rstrip() for line in lines), content)


if __name__ == "__main__":
    cli.run(main)
