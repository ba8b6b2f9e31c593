"""Door of detect-secrets: what is a secret by its form, whoever it belongs to. Nothing is sent anywhere to try it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

OWN = {  # what it lacks: the begin of a key, however it goes on, and tokens of the tools here
    "private key": re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    "GitHub token": re.compile(r"\bgithub_pat_[0-9A-Za-z_]{60,}"),
    "GitLab token": re.compile(r"\bglpat-[0-9A-Za-z_-]{20,}"),
    "Prefect Cloud key": re.compile(r"\bpn[ub]_[0-9A-Za-z]{36}\b"),
    "Hugging Face token": re.compile(r"\bhf_[0-9A-Za-z]{34,}\b"),
    "PyPI token": re.compile(r"\bpypi-AgEIcHlwaS5vcmc[0-9A-Za-z_-]{50,}"),
}
# Where one could begin: the detectors look there only. Each of their forms, but a password's, holds one of these.
MARKS = (
    *(b"A3T", b"ABIA", b"ACCA", b"AKIA", b"ASIA", b"aws", b"Aws", b"AWS", b"eyJ", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"),
    *(b"github_pat_", b"glpat-", b"hf_", b"npm_", b"NPM", b"uthToken", b"pnu_", b"pnb_", b"pypi-A", b"sq0csp-", b"k_live_", b"SG."),
    *(b"xox", b"XOX", b"hooks.slack", b"HOOKS.SLACK", b"-----BEGIN"),
)
ADDRESS = re.compile(rb"://[^\s/:@?#\[\]\x00-\x1f]{1,200}:[^\s@\x00-\x1f]{1,200}@")
SHORTEST = 8  # characters: some detectors tell a part of what they found
BEFORE, AFTER = 100, 1000  # bytes around a mark that are looked at; the longest tokens end within


def found(content: bytes) -> Iterator[tuple[str, int, str]]:
    """Kind, place (in bytes) and text of what looks like a token. One text is told once."""
    seen: set[tuple[str, str]] = set()
    looked = -1
    for at in sorted(_marked(content)):
        if at < looked:
            continue
        begin, looked = max(0, at - BEFORE), at + AFTER // 2
        text = content[begin : at + AFTER].decode("latin-1")
        for kind, token in _in_text(text):
            if (kind, token) not in seen:
                seen.add((kind, token))
                yield kind, begin + text.find(token) if len(token) >= SHORTEST else at, token


def _marked(content: bytes) -> Iterator[int]:
    for mark in MARKS:
        at = content.find(mark)
        while at >= 0:
            yield at
            at = content.find(mark, at + 1)
    at = content.find(b"://")
    while at >= 0:
        if ADDRESS.match(content, at):
            yield at
        at = content.find(b"://", at + 1)


def _in_text(text: str) -> Iterator[tuple[str, str]]:
    for kind, pattern in OWN.items():
        yield from ((kind, match.group()) for match in pattern.finditer(text))
    for kind, detector in _detectors():
        yield from ((kind, token) for token in detector.analyze_string(text))


@lru_cache(maxsize=1)
def _detectors() -> tuple[tuple[str, Any], ...]:
    """Those whose form leaves no doubt: words near a password, and strings that look random, are on every page."""
    from detect_secrets.plugins.aws import AWSKeyDetector
    from detect_secrets.plugins.basic_auth import BasicAuthDetector
    from detect_secrets.plugins.github_token import GitHubTokenDetector
    from detect_secrets.plugins.jwt import JwtTokenDetector
    from detect_secrets.plugins.npm import NpmDetector
    from detect_secrets.plugins.sendgrid import SendGridDetector
    from detect_secrets.plugins.slack import SlackDetector
    from detect_secrets.plugins.square_oauth import SquareOAuthDetector
    from detect_secrets.plugins.stripe import StripeDetector

    return (
        ("AWS access key", AWSKeyDetector()),
        ("password in an address", BasicAuthDetector()),
        ("GitHub token", GitHubTokenDetector()),
        ("JSON web token", JwtTokenDetector()),
        ("npm token", NpmDetector()),
        ("SendGrid key", SendGridDetector()),
        ("Slack token", SlackDetector()),
        ("Square secret", SquareOAuthDetector()),
        ("Stripe key", StripeDetector()),
    )
