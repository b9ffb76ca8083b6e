"""The report: what it reads, its tables, figures and pages.

inputs      strict reading of what the stages before wrote
tables      the report's tables as numbers
pairwise    comparisons of two models: errors, settings
render      pages from templates/, numbers in words
colours     the colour of each model, the tone of each split
plots       figures; the only importer of matplotlib
views       what DVC's own views show: curves, confusion matrices, scores
offline     the page of `dvc plots`, with its scripts inside
"""
