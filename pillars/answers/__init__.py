"""Answers that join what the pillars know. They read the ledger and files, and change nothing but the story's page."""

from pillars.answers.closing import PeriodRow, closing_table
from pillars.answers.datasets import Dataset, dataset, datasets, resolve
from pillars.answers.standing import Status, status
from pillars.answers.story import write_story

__all__ = ["Dataset", "PeriodRow", "Status", "closing_table", "dataset", "datasets", "resolve", "status", "write_story"]
