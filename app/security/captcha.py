"""Verify CAPTCHA responses: by ourselves (ALTCHA), or at reCAPTCHA or a service with the same interface.

Flask-WTF's own validator limits neither time nor size, accepts any truthy `success` and ignores `hostname`.
"""

import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from flask import current_app, request

from app import switches
from app.security import proof_of_work
from app.security.remote import fetch

TIMEOUT = 3  # seconds for the whole answer
MAX_RESPONSE = 8192  # characters from the browser
MAX_ANSWER = 64 * 1024  # bytes
FAILURES = 3  # failed logins of this browser or network, after which the login form shows the CAPTCHA
FAILED_WITHIN = timedelta(minutes=15)

log = logging.getLogger(__name__)


class Unavailable(Exception):
    """The service did not answer, or its answer is malformed."""


def is_solved(form: Mapping[str, str]) -> bool:
    """Accept the response in a form once. Raises Unavailable if the service needs longer than TIMEOUT."""
    is_ours = switches.is_on("altcha")
    answer = form.get("captcha" if is_ours else "g-recaptcha-response", "")
    if not answer or len(answer) > MAX_RESPONSE:
        return False
    if is_ours:
        return proof_of_work.is_solved(answer)
    said = ask(answer, remoteip=request.remote_addr or "")
    host = urlsplit(current_app.config["PUBLIC_URL"]).hostname
    return said["success"] is True and said.get("hostname") in (None, host)


def ask(answer: str, **more: str) -> dict[str, Any]:
    """Return the service's answer about a response. Raises Unavailable after TIMEOUT at most."""
    settings = current_app.config
    question = {"secret": settings["RECAPTCHA_PRIVATE_KEY"], "response": answer, **more}
    try:
        body = fetch(settings["RECAPTCHA_VERIFY_SERVER"], TIMEOUT, MAX_ANSWER, urlencode(question).encode())
        said = dict(json.loads(body))
        return {"success": said["success"], **said}
    except Exception as error:
        log.error("The CAPTCHA service does not answer: %s", type(error).__name__)
        raise Unavailable from error


def origins() -> list[str]:
    """Return the origins (with paths where possible) of the scripts and frames on a page with the CAPTCHA."""
    script = urlsplit(current_app.config["RECAPTCHA_SCRIPT"])
    own = f"{script.scheme}://{script.netloc}"
    is_googles = script.hostname in {"www.google.com", "www.recaptcha.net"}
    return [f"{own}/recaptcha/", "https://www.gstatic.com/recaptcha/"] if is_googles else [own]
