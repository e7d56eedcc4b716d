"""ALTCHA's proof of work: the CAPTCHA for which a browser computes for about a second. It asks no third party."""

import base64
import json
import secrets
from datetime import timedelta
from typing import Any

from app import clock
from app.security import signing
from app.security.rate_limits.counters import claim

# The browser tries counters from 0 on, with one PBKDF2 of COST iterations each, until it reaches the drawn one. The
# server takes one PBKDF2 to make a challenge, and one to check a solution.
ALGORITHM, COST = "PBKDF2/SHA-256", 1000
LEAST, MOST = 3000, 5000  # counters
LIFETIME = timedelta(minutes=20)  # less than the hour for which claim() remembers a solved challenge


def challenge() -> dict[str, Any]:
    """Return a challenge for the widget. Its counter is drawn here, so that no browser needs unusually long."""
    from altcha import create_challenge

    counter = LEAST + secrets.randbelow(MOST - LEAST)
    expires_at, key = clock.now() + LIFETIME, _keys()[0]
    return create_challenge(ALGORITHM, COST, counter=counter, expires_at=expires_at, hmac_secret=key).to_dict()


def is_solved(answer: str) -> bool:
    """Return whether the answer solves a challenge of ours that has neither expired nor been solved before."""
    from altcha import verify_solution

    try:
        is_right = any(verify_solution(answer, key).verified for key in _keys())
    except TypeError:  # 1000.0 instead of 1000 has the same signature, but is no number of iterations
        is_right = False
    if not is_right:
        return False
    signature = json.loads(base64.b64decode(answer).decode())["challenge"]["signature"]
    return claim(signing.fingerprint("captcha", signature))


def _keys() -> tuple[bytes, ...]:
    return signing.raw_keys("captcha")
