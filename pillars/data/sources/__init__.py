"""The sources that a YAML can name without code: files, queries, addresses. Each is what `pillars.data.source.Source` says.

kinds      files, queries, web: `source.file` (CSV, Parquet, drop folders), `source.sql`, `source.http`
reading    tables, fetching: one file as a table; one download, whole or not at all, held to its declared sha256
pieces     streaming, spool: files read piece by piece; rows of a database aside until their last one has come
periods    cutting: a table into periods, by time, in blocks, or file by file
roles      roles: rows and outcomes of one table
secrets    references: the value behind a name, from the environment or from who runs it
"""
