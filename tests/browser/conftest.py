"""The application in its development configuration, for tests in a real browser."""

import pytest
from support import shortcuts


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


@pytest.fixture
def people(ada, bob, app):
    """Whom the tour of all pages meets, and its short ways to pages."""
    shortcuts.add_to(app)
    shortcuts.add_people(bob)
