"""Real server processes to be killed, raced and cut off from their database. Each is ended after its test."""

import pytest
from support.ledger import Ledger
from support.serving import Site
from support.sink import Sink


@pytest.fixture
def sink():
    """The mail server that everything is posted to."""
    with Sink() as sink:
        yield sink


@pytest.fixture
def site(app, sink, tmp_path):
    """Start a site on the test's database: `site(processes=2, MAIL_DELIVERY="worker")`; see serving.Site."""
    started = []

    def start(web=True, **settings):
        started.append(Site(tmp_path, app.config["SQLALCHEMY_DATABASE_URI"], sink, **settings))
        return started[-1].start() if web else started[-1]

    try:
        yield start
    finally:
        sink.holds = None
        for one in started:
            one.stop()


@pytest.fixture
def ledger(app):
    """The tables of the test's database."""
    return Ledger()
