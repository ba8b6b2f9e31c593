"""Alarms of a verdict as alerts: one line each, once for as long as they last."""

from __future__ import annotations

from pillars.vocabulary import Alert, Verdict


def alerts(verdict: Verdict) -> tuple[Alert, ...]:
    """The verdict's alarms, each with the key under which it is the same alarm in other periods."""
    return tuple(
        Alert(verdict.project, verdict.period, kind, text, f"{verdict.project}:{kind}")
        for kind, _, text in (alarm.partition(": ") for alarm in verdict.alarms)
    )


def fresh(verdict: Verdict, before: Verdict | None) -> tuple[Alert, ...]:
    """Alerts that the verdict before did not have: these are worth telling somebody."""
    open_keys = {alert.key for alert in alerts(before)} if before else set()
    return tuple(alert for alert in alerts(verdict) if alert.key not in open_keys)
