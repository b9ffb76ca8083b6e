"""One reader per file format, and what they share.

idx         MNIST's four files and the like
npz_arrays  arrays of images and labels
cifar       the binary version's archive
folder      one folder per class
tables      a row per image
csv         a column per pixel
parquet     files in a column
checks      what every reader checks
pictures    files of pictures -> arrays
npz         arrays in numpy's zip archives
"""
