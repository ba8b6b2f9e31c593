"""A registered version made again from its lineage, in a clean folder, by a process of its own that knows no store.

whole    reproducing: from a version's origin to the verdict on it
deed     remaking: what is put into the folder, the process, what came of it
inside   driver: that process; it runs with the recorded commit's code, whatever that is
answer   comparing: equal, alike, different by which factor, or erased
moved    laying, attributing: two versions, and which factor between them moved the loss
"""
