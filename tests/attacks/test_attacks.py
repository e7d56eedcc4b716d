"""All attacks of attack.py: none succeeds on this application, and all succeed on the naive one."""

import pytest
from attack import ATTACKS, attacked
from support.sink import Sink
from targets import Naive, Ours

pytestmark = pytest.mark.extended

each_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)


def on(*kinds):
    """All attacks on one target are made once, by one worker."""
    once = [pytest.param(kind, marks=pytest.mark.xdist_group(f"attacks on {kind}")) for kind in kinds]
    return pytest.mark.parametrize("rows", once, indirect=True, scope="module")


@pytest.fixture(scope="module")
def rows(request, databases, tmp_path_factory):
    """The table of one target: pairs of an attack and a row."""
    folder = tmp_path_factory.mktemp("attacks")
    with Sink() as sink:
        target = Naive(folder, sink) if request.param == "naive" else Ours(databases(request.param), folder, sink)
        with target:
            return list(attacked(target))


@on("postgresql")
@each_attack
def test_no_attack_succeeds(rows, attack):
    assert [row for made, row in rows if made is attack and row.is_hole] == []


@on("naive")
@each_attack
def test_every_attack_succeeds_on_the_naive_application(rows, attack):
    found = [row.is_hole for made, row in rows if made is attack]
    assert found
    assert all(found)
