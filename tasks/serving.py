"""Pillar 4, beside the loop: the request log of the prediction server."""

from __future__ import annotations

from pillars.deployment import requests
from tasks.policy import step

compact = step("compact request log", retries=2)(requests.compact)  # a repeat goes on
