"""Beside the cycle: a data version looked at again."""

from __future__ import annotations

from pillars.data import auditing, versions
from tasks.policy import step

verify = step("verify both copies", retries=2)(versions.verify)
examine = step("check again", retries=2)(auditing.examine)
