"""Schedules, automations and the processes of `pillars up`. `prefect.yaml` is rendered from the configs.

deployments    render, apply, automations: `prefect.yaml` from the configs; made known to a server; what the server does by itself
processes      supervisor, services, services_mlflow, worker: what `flows.up` starts and keeps running
logs           startup/sitecustomize: none of these processes logs a secret
settings       settings: ports and secrets
afterwards     left: runs that a killed stack left
"""
