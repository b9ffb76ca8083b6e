"""Many seeds of anything: planned, trained where they are missing, and kept. The study and verdicts stand on it.

plan         a plan -> variants, replicates, training runs
prepared     the data sets that these are trained on
run          what of a plan is missing, trained and tracked, with its progress by the multiply-adds of the runs
cluster      training runs on Dask: a local cluster, or the user's own
worker       what a Dask worker does: it hands training runs to fork servers
forkserver   a process with TensorFlow imported, which forks a child for each training run
replicate    one training run: a network trained, and scored after every epoch that some replicate ends with
ledger       the results on disk, a line each
tracker      replicates on their way to MLflow
other_seeds  the prediction intervals of other seeds, for a model with the same settings
"""
