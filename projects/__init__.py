"""Python of one data set each, named by `source.python` in its YAML. `flights/` is the default project."""
