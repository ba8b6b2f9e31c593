"""Answers that join what the pillars know. They read the ledger and files, and change nothing but the story's page.

status    standing: where a project stands, whether anything is stale or broken (`pillars status`)
table     closing: one line per period, at the end of a run
page      story, charts: `var/report/index.html`, its charts
data      datasets, revisions: a data version and all that came of it (`pillars data show`), periods that came again
aside     quarantined: what was set aside and why
dropped   retained: what retention took away
gate      calibrated: what its margin stands on (`pillars gate show`)
future    foresight: whether rows and predictions depend on what comes later (`pillars data future`)
trials    trials: how the release on trial does (`pillars verdict`)
versions  compared: two registered versions side by side
requests  predicted, served: why one was answered as it was (`pillars why`), how their log lies on the disk
ledger    history: what it says of a project, read back as values
"""

from pillars.answers.calibrated import Standing, gate
from pillars.answers.closing import PeriodRow, closing_table
from pillars.answers.datasets import Dataset, dataset, datasets, resolve
from pillars.answers.standing import Status, status
from pillars.answers.story import write_story

__all__ = ["Dataset", "PeriodRow", "Standing", "Status", "closing_table", "dataset", "datasets", "gate", "resolve", "status", "write_story"]
