"""Validate the settings of a login to the mail server by OAuth."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CLIENT = ("MAIL_OAUTH_TOKEN_URL", "MAIL_OAUTH_CLIENT_ID", "MAIL_OAUTH_CLIENT_SECRET")
KEY_PARTS = ("client_email", "private_key", "token_uri")


def oauth_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield what prevents the login to the mail server by OAuth, if it is set up."""
    given, key_file = any(settings[name] for name in CLIENT), settings["MAIL_OAUTH_KEY_FILE"]
    if not given and not key_file:
        return
    if settings["MAIL_PASSWORD"] or (given and key_file):
        yield "MAIL_PASSWORD, MAIL_OAUTH_KEY_FILE (Google) and MAIL_OAUTH_TOKEN_URL are three ways to log in. Keep one."
    for name in ("MAIL_USERNAME", *(() if key_file else CLIENT)):
        if not settings[name]:
            yield f"{name} is missing. A login by OAuth needs it: docs/email.md."
    if given and not settings["MAIL_OAUTH_TOKEN_URL"].startswith("https://"):
        yield "MAIL_OAUTH_TOKEN_URL: write an https URL, such as https://login.microsoftonline.com/<tenant>/oauth2/v2.0/token"
    if key_file and not _is_key(Path(key_file)):
        yield f"MAIL_OAUTH_KEY_FILE: {key_file} can't be read, or is not a JSON key of a Google service account."


def _is_key(path: Path) -> bool:
    try:
        key = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(key, dict) and all(isinstance(key.get(part), str) for part in KEY_PARTS)
