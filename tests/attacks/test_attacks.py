"""All that attack.py tries: nothing gets through to ours, and everything to the one that is built wrong."""

import pytest
from attack import attacked
from sink import Sink
from targets import Naive, Ours

pytestmark = pytest.mark.extended


def test_nothing_gets_through(database, tmp_path):
    with Sink() as sink, Ours(database, tmp_path, sink) as target:
        assert [row for row in attacked(target) if row.is_hole] == []


def test_everything_gets_through_where_it_is_built_wrong(tmp_path):
    with Sink() as sink, Naive(tmp_path, sink) as target:
        assert [row for row in attacked(target) if not row.is_hole] == []
