"""One HTML page per validation: no other host is asked for anything (Great Expectations' own Data Docs ask nine)."""

from __future__ import annotations

from pillars.data.coverage import Covered
from pillars.stores import Stores, write_atomically
from pillars.vocabulary import Check, Validation

WORDS = {"failed": "failed", "could_not_run": "could not run", "quarantined": "quarantined", "passed": "passed"}  # worst first
DID = {
    "null_as": "read as no value",
    "trim": "blanks taken away",
    "case": "case",
    "values": "spelling",
    "convert": "unit",
    "clip": "clipped",
    "fill": "filled",
    "duplicates": "set aside for another row of its key",
    "outliers": "flagged as an outlier, kept",
}
STATES = {"present": "present", "missing": "missing", "new": "new", "no_claim": "too few rows for a claim"}
WEIGHT = {"critical": 0, "warning": 1, "info": 2}


def write_page(stores: Stores, validation: Validation, covered: Covered | None = None, audited: str = "") -> str:
    """Write the page under `reports/`, beside the batch's own where a data version was `audited`; its path, relative to `var`."""
    path = f"reports/{validation.project}/{validation.period}/{'audit' if audited else 'validation'}.html"
    write_atomically(stores.var / path, page(validation, covered, audited).encode())
    return path


def page(validation: Validation, covered: Covered | None = None, audited: str = "") -> str:
    """The page: verdict first, what failed above what held, then the declared groups of rows where they were counted.

    `audited`: the data version whose rows these are, held against the rules of today; else they are a batch that came in.
    """
    from jinja2 import Environment

    checks = sorted(validation.checks, key=lambda c: (list(WORDS).index(_word(c)), WEIGHT[c.severity]))
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(TEMPLATE)
        .render(
            did=DID,
            v=validation,
            subject=f"audit of data version {audited[:12]} by the rules of today" if audited else "validation of a batch",
            verdict=_verdict(validation, audited),
            covered=covered,
            states=STATES,
            checks=checks,
            tally=_tally(validation.checks),
            word=_word,
            words=WORDS,
            percent=_percent,
        )
    )


def _verdict(validation: Validation, audited: str) -> tuple[str, str]:
    """Tone and words. A batch with bad rows is accepted without them; of a data set they say that a rule was not kept."""
    if not audited:
        return ("passed", "Accepted") if validation.decision else ("failed", "Rejected, kept whole")
    if not validation.decision:
        return "failed", "Would be rejected today."
    return ("quarantined", "Rows of it would be set aside today.") if validation.quarantined else ("passed", "Holds.")


def _word(check: Check) -> str:
    """Status as shown: failing rows that went to quarantine are no failure of the batch."""
    return "quarantined" if check.status == "failed" and check.quarantine else check.status


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= 0.0001 else "<0.01%"


def _tally(checks: tuple[Check, ...]) -> dict[str, int]:
    words = [_word(c) for c in checks]
    return {w: words.count(w) for w in WORDS}


TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ v.project }} {{ v.period }}: {{ subject }}</title>
<style>
:root { --ground: #f6f7f9; --card: #fff; --ink: #1b2330; --soft: #5b6675; --line: #e2e6ec;
  --passed: #1a7f4b; --failed: #c22f3d; --quarantined: #a35c00; --could_not_run: #6b3fa0; }
@media (prefers-color-scheme: dark) { :root { --ground: #12161c; --card: #1b2129; --ink: #e7ebf0; --soft: #9aa5b3; --line: #2c343f;
  --passed: #4cc38a; --failed: #ff7b86; --quarantined: #f0a742; --could_not_run: #b794f4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 24px; margin: 0 0 16px; font-weight: 650; }
h2 { font-size: 17px; margin: 28px 0 12px; font-weight: 600; }
h1 small { color: var(--soft); font-weight: 400; font-size: 16px; margin-left: 8px; }
.verdict { background: var(--card); border: 1px solid var(--line); border-left: 5px solid var(--tone); border-radius: 8px;
  padding: 14px 18px; overflow-wrap: anywhere; }
.verdict b { color: var(--tone); margin-right: 6px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 12px; margin: 16px 0 24px; }
.figures div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 10px 16px; }
.figures strong { display: block; font-size: 22px; font-weight: 650; font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--soft); font-weight: 500; font-size: 13px; }
th, td { padding: 8px 12px; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td:nth-child(2) { min-width: 200px; }
td small { display: block; color: var(--soft); overflow-wrap: anywhere; }
td.seen { overflow-wrap: break-word; min-width: 160px; max-width: 280px; }
.mark { color: var(--tone); font-weight: 600; white-space: nowrap; }
.mark::before { content: "\\25CF"; margin-right: 6px; }
code { font: 13px ui-monospace, "DejaVu Sans Mono", monospace; }
</style>
</head>
<body>
<main>
<h1>{{ v.project }} {{ v.period }}<small>{{ subject }}</small></h1>
<p class="verdict" style="--tone: var(--{{ verdict[0] }})"><b>{{ verdict[1] }}</b> {{ v.decision.reason }}</p>
<section class="figures">
<div><strong>{{ "{:,}".format(v.rows) }}</strong><span>rows</span></div>
<div><strong>{{ "{:,}".format(v.quarantined) }}</strong><span>rows failing a row check</span></div>
{% if v.treatments %}
<div><strong>{{ "{:,}".format(v.repaired) }}</strong><span>rows repaired</span></div>
{% endif %}
{% for word, count in tally.items() %}
<div><strong{% if count and word != "passed" %} style="color: var(--{{ word }})"{% endif %}>{{ count }}</strong>
<span>checks {{ "with rows to quarantine" if word == "quarantined" else words[word] }}</span></div>
{% endfor %}
</section>
<div class="scroll">
<table>
<thead><tr><th>result</th><th>check</th><th>column</th><th>severity</th>
<th class="n">failing</th><th class="n">share</th><th>seen</th></tr></thead>
<tbody>
{% for c in checks %}
<tr style="--tone: var(--{{ word(c) }})"><td><span class="mark">{{ words[word(c)] }}</span></td>
<td><code>{{ c.expectation | replace("expect_", "") | replace("_", " ") }}</code>
{% if c.detail %}<small>{{ c.detail }}</small>{% endif %}</td>
<td>{{ c.column or "table" }}</td><td>{{ c.severity }}</td>
<td class="n">{{ "{:,}".format(c.unexpected) if c.unexpected }}</td>
<td class="n">{{ percent(c.unexpected_share) if c.unexpected }}</td><td class="seen">{{ c.observed }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% if v.treatments %}
<h2>What declared rules did before</h2>
<div class="scroll">
<table>
<thead><tr><th>rule</th><th>column</th><th class="n">rows</th><th>as declared</th></tr></thead>
<tbody>
{% for t in v.treatments %}
<tr><td>{{ did[t.rule] }}</td><td>{{ "outcomes: " if t.table == "outcomes" }}{{ t.column }}</td>
<td class="n">{{ "{:,}".format(t.rows) }}</td><td>{{ t.detail }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% endif %}
{% if covered %}
<h2>Groups of rows, against {{ covered.against | join(", ") or "no earlier period with outcomes" }}</h2>
<p>Nothing is said of a group with fewer than {{ covered.floor }} rows, seen and expected.</p>
<div class="scroll">
<table>
<thead><tr><th>result</th><th>group</th><th class="n">rows</th><th class="n">share</th>
<th class="n">rows to train on</th><th class="n">their share</th></tr></thead>
<tbody>
{% for s in covered.segments %}
<tr style="--tone: var(--{{ {"present": "passed", "missing": "failed", "new": "quarantined", "no_claim": "soft"}[s.state] }})">
<td><span class="mark">{{ states[s.state] }}</span></td>
<td>{{ s.column }}: {{ s.value }}</td><td class="n">{{ "{:,}".format(s.rows) }}</td><td class="n">{{ percent(s.share) if s.rows }}</td>
<td class="n">{{ "{:,}".format(s.population) }}</td><td class="n">{{ percent(s.population_share) if s.population }}</td></tr>
{% endfor %}
</tbody>
</table>
</div>
{% endif %}
</main>
</body>
</html>
"""
