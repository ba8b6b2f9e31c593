"""Pillar 1, data management.

collection   source, contract, collection: a source opened (`sources/` has those that need no code), held to its promises, kept in `raw/`
future       future: the source under another future (`pillars data future`)
beginning    dialect, profiling, aim, proposal: how a file is written, its columns, what is asked of it, a first YAML (`pillars init`)
validation   suite, validation, validation_page, hollow: the checks, what was seen of each, its page, columns that came empty
engines      engines, over_duckdb: Great Expectations, by pandas or over DuckDB
large        spilled, ready: a table in a file that is larger than memory, a batch made ready to be checked, whole or in pieces
groups       custom, coverage: expectations that a project brings itself, declared groups of rows present or missing
proposing    figures, expecting, backtest, suite_text: what batches looked like, bounds from it, tried on them, put into the YAML
repair       parsing, schema, repairing: text read as declared, types, declared repairs, winners of a key, outliers
cleaning     cleaning, quarantine: the judged batch, rows that are set aside
versions     versions, record, branch, pinned, tags: data versions, `data.dvc`, their git branch, the pin, names that people give
retention    retention, dropped: what is older than its time, which files of it are gone
looking      auditing, comparison: a version held against the rules of today, two versions side by side
storage      objects, parquet: DVC's cache and remote, tables as files
access       modes, searching, unpacking, tokens, waivers: who may read what came in; secrets where none may be (`pillars scan`)
privacy      privacy, subjects, anonymity: keyed pseudonyms, a key per person, groups of k
sealed       sealing, chunks, keyring, at_rest: what came in on disk, of any size in bounded memory, its keys; the data set where asked
"""
