"""Schedules, automations and the processes of `pillars up`. `prefect.yaml` is rendered from the configs."""
