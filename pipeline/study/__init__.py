"""The study: many seeds and ablations of the models, and an audit of the claims of the original; it stands on trials.

Stages, chained by study/dvc.yaml:
    prepare      a data set with the validation split that all replicates on it share
    run          the replicates that are missing from the ledger, on Dask -> study/runs
    report       the ledger -> tables, figures, the audit of the claims
    missed       the test images that most replicates miss

Commands:
    power         how many seeds decide each comparison and claim, and the core-hours that they take
    reproduction  how the models in the workspace compare with the committed ones, and with other seeds
    sync          MLflow brought up to date with the ledger

Parts of the report:
    groups       the ledger as numbers: the replicates that are used, and their scores
    comparisons  the pairwise comparisons of study/params.yaml, adjusted for multiple testing
    claims       study/claims.yaml -> the claims, what answers them, their figures
    readings     how a claim can be read, and the bounds that decide it
    terms        what the texts in that file mean: contrasts, outcomes, bounds
    contrasts    contrasts measured, and whether their intervals meet a bound
    audit        the verdict on each reading
    findings     what is written of these: measurements, the rows of the audit
    noise        what chance alone shows: rises, differences between seeds, images that all miss
    convergence  epochs and seconds to a target accuracy
    prediction   what one more seed may give: the spread, the gate's drop, and whether the original's numbers are such
    seeds        how many seeds decide, and what they cost
    pilot        the smaller study before, and which of its verdicts held
    processors   whether replicates differ between the processors that made them
    results      all of these, from the ledger and the other files
    tables       the CSV files
    figures      the readings, variants and curves that are drawn
"""
