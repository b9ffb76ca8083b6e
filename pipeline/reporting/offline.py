"""The page of `dvc plots` with the scripts that draw its charts inside, so that it needs no network.

`make` writes it where git does not look, and names it in DVC's configuration of this clone alone. A clone without it
has DVC's own page, which loads the scripts from the internet.
"""

import argparse
import re
from pathlib import Path

import vl_convert

from pipeline import cli, files

# DVC replaces the placeholder by the charts, each a <div> and a script that calls vegaEmbed().
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>DVC plots</title>
<style>body {{ font-family: sans-serif; margin: 1.5em; }} body > div {{ margin-bottom: 2em; }}</style>
<script>(() => {{ {scripts} }})();</script>
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def page() -> str:
    """Return the HTML template: Vega, Vega-Lite 5 (whose schema DVC's templates name) and Vega-Embed, inlined."""
    version = [version for version in vl_convert.get_vegalite_versions() if version.startswith("5.")][-1]
    scripts = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed", vl_version=version)
    # What would end the <script>, inside strings of JavaScript.
    return _PAGE.format(scripts=re.sub(r"<(?=/script|!--)", r"\\x3C", scripts, flags=re.IGNORECASE))


def main() -> int:
    """Write the page that `dvc plots` fills, for `plots.html_template` in DVC's configuration."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.reporting.offline", description=main.__doc__)
    parser.add_argument("output", type=Path, help="HTML file to write")
    files.write_text(parser.parse_args().output, page())
    return 0


if __name__ == "__main__":
    cli.run(main)
