"""Faults injected into rollouts on purpose, in a throw-away folder, against a real server under load (`pillars drill`).

what      faults: the catalogue, what each must come to under each strategy, and whether it did
where     place: a copy of the champion's release, a YAML in seconds, a ledger of its own
who       altering: challengers made of the champion, good ones and harmful ones
load      load: clients that ask without a pause; outcomes: what came true of what they asked, as evidence
server    serving: `pillars serve` as a process; planted: what is wrong inside it
after     safety: whether the end state is a safe one
"""
