"""Pillar 1, data management.

collection   source, collection: a project's source opened, asked, and kept byte for byte under `raw/`
validation   suite, validation, validation_page, hollow: the checks, Great Expectations, its page, columns that came empty
cleaning     schema, cleaning, quarantine: declared types, the judged batch, rows that are set aside
versions     versions, record, branch, pinned: data versions, their `data.dvc`, the git branch that holds them, the pin
storage      objects, parquet: DVC's cache and remote, tables as files
privacy      privacy: protected columns as keyed pseudonyms
"""
