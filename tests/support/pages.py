"""python -m tests.support.pages: write what follows from other committed files, or check that all of them agree.

With `--check` nothing is written: there is a line for whatever is behind, with the command that renews it.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks import page as benchmarks
from pipeline import cli, files
from tests.support import agreement, data_card, list_faults, params_page, readme, recomputed
from tests.support.readme import Language

DATA = Path("reports/data.json")
# The pages that are written, in whole or in part: what each has to be, given what it is.
WRITTEN: Mapping[str, Callable[[str], str]] = {
    "README.md": lambda page: readme.renewed(page, Language.ENGLISH),
    "README.ja.md": lambda page: readme.renewed(page, Language.JAPANESE),
    "docs/method.md": lambda page: readme.renewed(page, Language.ENGLISH),
    "docs/params.md": lambda _: params_page.page(),
    "tests/FAULTS.md": lambda _: list_faults.page(),
    "reports/data.md": lambda _: data_card.data_card(files.read_json(DATA)),
    "reports/croissant.json": lambda _: json.dumps(data_card.croissant(files.read_json(DATA)), indent=2) + "\n",
    "benchmarks/RESULTS.md": lambda _: benchmarks.render(json.loads(Path("benchmarks/results.json").read_text())),
}
# What else has to agree, and what to do where it does not.
AGREED: Mapping[Callable[[], Iterator[str]], str] = {
    agreement.ledger_faults: "`make study` trains it again, or says why not",
    agreement.report_faults: "`make study` renews it",
    agreement.gate_faults: "set it to that",
    agreement.tuning_faults: "give it those",
    agreement.pair_faults: "say which is right, on both pages",
    recomputed.faults: "one of the two is wrong",
}


def behind() -> dict[str, str]:
    """Return the content that is due for each page that has another."""
    now = {name: Path(name).read_text(encoding="utf-8") if Path(name).exists() else "" for name in WRITTEN}
    due = {name: renewed(now[name]) for name, renewed in WRITTEN.items()}
    return {name: page for name, page in due.items() if page != now[name]}


def faults() -> Iterator[str]:
    """Yield a line for each file that is behind, with what to do."""
    yield from (f"{name} is behind: `make pages` renews it" for name in behind())
    for check, remedy in AGREED.items():
        yield from (f"{fault}: {remedy}" for fault in check())


def main() -> int:
    """Write the pages that follow from other committed files, or check them."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.pages", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and say what is behind")
    if parser.parse_args().check:
        lines = list(faults())
        print("\n".join(lines) or "committed pages, results and bounds agree")
        return 1 if lines else 0
    for name, page in behind().items():
        files.write_text(Path(name), page)
        print(f"{name} written")
    return 0


if __name__ == "__main__":
    cli.run(main)
