"""The sources that a YAML can name without code: files, queries, addresses. Each is what `pillars.data.source.Source` says."""
