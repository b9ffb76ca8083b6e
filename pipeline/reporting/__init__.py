"""The report: what it reads, its tables, figures and pages.

inputs      what the report reads
tables      its tables
pairwise    what it says of two models
render      its words, from templates/
plots       figures; the only importer of matplotlib
"""
