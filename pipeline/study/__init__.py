"""The study: many seeds and ablations of the models, and what becomes of the original report's claims.

Stages, chained by study/dvc.yaml:
    prepare      the data with a validation split that all replicates share
    run          what is missing of the ledger, on Dask -> study/runs
    report       the ledger -> tables, figures, the audit of the claims

What they stand on:
    plan         study/params.yaml -> variants, replicates, trainings
    replicate    one training, in a process of its own: the only one here that needs TensorFlow
    cluster      trainings handed to Dask's workers
    ledger       results on disk, whole or not at all

What the report is made of:
    groups       the ledger as numbers: which replicates count, what they scored
    comparisons  the comparisons of study/params.yaml, judged together
    rules        the rules: numbers in, what becomes of a claim out
    findings     a claim under one reading: question, numbers, answer
    audit        the claims one by one; 2 stands in factorial, 4 in convergence
    factorial    the 2x2 of optimizer and dropout
    convergence  epochs and seconds until a target
    spread       how far the seed alone moves a score, and what the gate therefore allows
    tables       the CSV files
    figures      which variants and curves are drawn
"""
