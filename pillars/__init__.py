"""The work of the five pillars: plain typed Python that knows no orchestrator.

pillars    data, development, training, deployment, monitoring: one each; its `__init__.py` lists the modules by sub-point
bundle     bundle: a model as it is released, as training makes it and everything else reads it
answers    answers: what joins the pillars: status, closing table, the story's page
recovery   recovery: everything in one file, and out of it again elsewhere
repeat     reproduction: a registered version made again from its lineage, and held against it
words      vocabulary, errors: the values that all speak, and what can go wrong
settings   config, config_data, config_rollout, project_file: what a YAML may say, of its data and the rest, how it is read
places     stores, keys, git: where things live, the installation's key, git as a process
silence    masking: what no log may say
shared     periods, targets, tracking: names of periods and their times, what came true as numbers, MLflow as all who use it find it

Each tool is met in few places, and those call themselves doors: `grep -rn " door" pillars`.
"""
