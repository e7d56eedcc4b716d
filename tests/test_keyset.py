"""Pages by key, and lines of CSV."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app import clock, keyset
from app.csv_lines import csv_lines
from app.extensions import db
from app.models import AuditEvent, Block

ORDER = [AuditEvent.at, AuditEvent.id]


@pytest.fixture
def rows(app):
    """Seven events; several happen at the same time."""
    start = clock.now()
    for number in range(7):
        db.session.add(AuditEvent(action=str(number), at=start + timedelta(hours=number // 3)))
    db.session.commit()
    return select(AuditEvent)


def test_pages_lead_through_all_rows_and_back(rows):
    def page(**key):
        found = keyset.page(rows, ORDER, size=3, **key)
        return "".join(event.action for event in found.rows), found.newer, found.older

    first, newer, older = page()
    assert (first, newer) == ("654", "")
    second, newer, older = page(older=older)
    assert second == "321"
    third, back, none = page(older=older)
    assert (third, none) == ("0", "")
    assert page(newer=back)[0] == "321"
    assert page(newer=newer)[0] == "654"
    assert page(newer="9999-12-31T23:59:59+00:00~1")[0] == "654", "the newest rows, when there are no newer ones"
    assert [event.action for event in keyset.every(rows, ORDER)] == list("6543210")


@pytest.mark.parametrize("key", ["x", "1~2", "~", "0001-01-01T00:00+23:00~1", "2031-05-04T00:00~\0", "²~²"])
def test_an_invalid_key_is_the_first_page(rows, key):
    assert keyset.page(rows, ORDER, older=key).rows == keyset.page(rows, ORDER, newer=key).rows
    assert len(keyset.page(rows, ORDER, older=key).rows) == 7


def test_a_key_beyond_the_column_is_the_first_page(app):
    for number in ("99999999999", "-99999999999", "2147483648"):
        assert keyset.page(select(Block), [Block.id], older=number) == keyset.page(select(Block), [Block.id])


def test_no_cell_is_a_formula_where_semicolons_separate():
    assert list(csv_lines(["agent"], [["x;=1+1;-2; a;b"], [";@a"]])) == [
        "agent\r\n",
        "x;'=1+1;'-2; a;b\r\n",
        ";'@a\r\n",
    ]


def test_no_cell_is_a_formula():
    lines = csv_lines(["name", "count"], [["=1+1", -1], ['@a,"b"', None], ["a=b\nc", 2]])
    assert list(lines) == ["name,count\r\n", "'=1+1,-1\r\n", '"\'@a,""b""",\r\n', '"a=b\nc",2\r\n']
