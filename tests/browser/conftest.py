"""The application in its development configuration, for tests in a real browser."""

import pytest


@pytest.fixture
def app(make_app, databases, settings, tmp_path):
    """The application as a developer runs it, with a database and a mailbox of its own."""
    own = {
        "SECRET_KEY": "for the browser's tests alone",
        "BABEL_TRANSLATION_DIRECTORIES": "translations",  # our sentences, as in config.Testing
        "MAILBOX": str(tmp_path / "mailbox"),
        "PASSWORD_HASH": "pbkdf2:sha256:1",
        "RECOVERY_CODE_HASH": "pbkdf2:sha256:1",
    }
    with make_app("development", databases("sqlite"), own | settings) as app:
        yield app
