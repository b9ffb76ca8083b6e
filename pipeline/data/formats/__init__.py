"""One reader per file format.

idx         IDX bytes <-> arrays
"""
