"""Answers that join what the pillars know. They read the ledger and files, and change nothing but the story's page."""

from pillars.answers.closing import PeriodRow, closing_table
from pillars.answers.standing import Status, status
from pillars.answers.story import write_story

__all__ = ["PeriodRow", "Status", "closing_table", "status", "write_story"]
