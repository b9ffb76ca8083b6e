"""One reader per file format.

idx         IDX bytes <-> arrays
npz         arrays in numpy's zip archives
"""
