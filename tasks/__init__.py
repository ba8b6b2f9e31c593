"""Policy, one file per pillar: how Prefect runs a step (retries, timeouts, names) and what it shows. No logic."""
