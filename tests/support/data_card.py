"""The card of the committed data set and its metadata as Croissant, which `make pages` writes."""

from collections.abc import Mapping
from typing import Any

from pipeline.reporting import render

# Of Croissant's words, those that are used here.
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{word: f"cr:{word}" for word in ("citeAs", "field", "key", "recordSet")},
}


def data_card(summary: Mapping[str, Any]) -> str:
    """Return the card of a data set in Markdown, from what preprocess wrote about it."""
    name, shape, splits = summary["dataset"], summary["image"], summary["splits"]
    sizes = [f"{split} ({counts['count']:,} images)" for split, counts in splits.items()]
    rows = [
        [render.literal(label), *(f"{counts['classes'][index]:,}" for counts in splits.values())]
        for index, label in enumerate(summary["classes"])
    ]
    findings = [f"- {render.literal(finding)}" for finding in summary["findings"]] or ["- The checks found nothing."]
    lines = [
        f"# {render.literal(summary['title'])}",
        "",
        render.literal(summary["credit"]),
        "",
        f"Images of {'x'.join(map(str, shape))} pixels in {len(summary['classes'])} classes. Files, checksums and "
        f"sources: `data/sets/{name}.yaml`. As arrays: `data/processed/{name}.npz`, SHA-256 `{summary['sha256']}`.",
        "",
        f"| Class | {' | '.join(sizes)} |",
        "|---" + "|---:" * len(sizes) + "|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "## What was checked",
        "",
        "Copies of an image, images of two classes, test images among those to train on, and images of one brightness:",
        "",
        *findings,
        "",
        "## Use",
        "",
        "```python",
        f'arrays = numpy.load("data/processed/{name}.npz", allow_pickle=False)',
        "```",
        "",
    ]
    return "\n".join(lines)


def croissant(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data set as metadata in MLCommons' format Croissant 1.0, from what preprocess wrote about it."""
    name, arrays = summary["dataset"], f"{summary['dataset']}.npz"
    split_counts = ", ".join(f"{counts['count']:,} {split}" for split, counts in summary["splits"].items())
    label, title = ({"@type": "cr:Field", "@id": f"classes/{key}", "name": key} for key in ("label", "title"))
    classes = {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/label"},
        "field": [{**label, "dataType": "sc:Integer"}, {**title, "dataType": "sc:Text"}],
        "data": [{"classes/label": index, "classes/title": text} for index, text in enumerate(summary["classes"])],
    }
    file = {
        "@type": "cr:FileObject",
        "@id": arrays,
        "name": arrays,
        "contentUrl": f"data/processed/{arrays}",
        "encodingFormat": "application/octet-stream",
        "sha256": summary["sha256"],
    }
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": f"{summary['title']}: {split_counts} images of {'x'.join(map(str, summary['image']))} pixels.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "citeAs": summary["credit"],
        "distribution": [file],
        "recordSet": [classes],
    }
