"""The administration pages of invitations and blocks."""

import pytest
from sqlalchemy import select
from support.clients import on_sqlite

from app.accounts import blocks, invitations
from app.extensions import db
from app.models import AuditAction, AuditEvent, Block, Invitation, Role

pytestmark = on_sqlite
INVITATIONS, BLOCKS = "/admin/invitations", "/admin/blocks"
EVE = {"email": "eve@example.org", "role": "moderator"}


def test_an_invitation_is_sent_sent_again_and_withdrawn(administrator, another_client, ada, outbox):
    assert "No invitations yet." in administrator.get(INVITATIONS).text
    for _ in range(2):
        assert administrator.post(INVITATIONS, data=EVE).location == INVITATIONS
    [row] = db.session.scalars(select(Invitation))
    assert (row.email, row.role_name, row.invited_by, row.actor) == (*EVE.values(), ada, "administrator")
    link = outbox.link()
    assert "<strong><bdi>ada</bdi></strong> invited you" in another_client.get(link).text
    page = administrator.get(INVITATIONS)
    assert "An invitation is on its way to eve@example.org." in page.text
    assert "Waiting" in page.text
    assert (
        "The link that was emailed to eve@example.org will stop" in administrator.get(f"{INVITATIONS}/1/withdraw").text
    )
    assert row.state == "waiting", "GET changes nothing"
    assert administrator.post(f"{INVITATIONS}/1/withdraw?state=waiting").location == f"{INVITATIONS}?state=waiting"
    assert row.state == "withdrawn"
    assert another_client.get(link).status_code == 410
    administrator.post(f"{INVITATIONS}/1/withdraw")
    assert "The invitation was no longer waiting." in administrator.get(INVITATIONS).text
    done = select(AuditEvent.detail).where(AuditEvent.action == AuditAction.INVITED)
    assert {detail["acting_user"] for detail in db.session.scalars(done)} == {ada.id}
    assert administrator.get(f"{INVITATIONS}/99/withdraw").status_code == 404


def test_only_the_administrator_learns_that_an_address_has_an_account(administrator, bob, outbox):
    page = administrator.post(INVITATIONS, data={"email": bob.email, "role": "user"})
    assert (page.status_code, "bob@example.com already belongs to an account." in page.text) == (422, True)
    assert bob.email not in {recipient for email in outbox() for recipient in email.recipients}


def test_administrators_are_offered_only_roles_whose_permissions_they_hold(administrator, ada):
    ada.role = Role(name="gatekeeper", permissions=16 + 7)
    db.session.commit()
    page = administrator.get(INVITATIONS).text
    assert ('value="user"' in page, 'value="moderator"' in page, 'value="administrator"' in page) == (
        True,
        False,
        False,
    )
    assert administrator.post(INVITATIONS, data=EVE).status_code == 422
    assert db.session.scalars(select(Invitation)).all() == []


def test_invitations_are_listed_by_state_page_by_page(administrator, ada, clock):
    for number in range(60):
        invitations.send(f"p{number}@example.org", by=None if number % 2 else ada)
    invitations.withdraw("p1@example.org")
    db.session.get(Invitation, 3).change(accepted_at=clock.time)
    db.session.commit()
    first = administrator.get(INVITATIONS).text
    assert ("p59@example.org" in first, "p9@example.org" in first) == (True, False)
    assert "p9@example.org" in administrator.get(f"{INVITATIONS}?older=11").text
    assert "The command line" in first
    for state, shown in {"withdrawn": "p1@", "accepted": "p2@", "waiting": "p59@"}.items():
        assert [
            name for name in ("p1@", "p2@", "p59@") if name in administrator.get(f"{INVITATIONS}?state={state}").text
        ] == [shown]
    assert "No invitations match this filter." in administrator.get(f"{INVITATIONS}?state=expired").text
    assert administrator.get(f"{INVITATIONS}?state=x").status_code == 200


def test_a_block_is_added_and_removed(administrator, ada):
    assert "Nothing is blocked." in administrator.get(BLOCKS).text
    form = {"subject": "Example.org", "reason": "<b>spam</b>", "days": "7"}
    assert administrator.post(BLOCKS, data=form).location == BLOCKS
    block = db.session.scalar(select(Block))
    assert (block.subject, block.created_by_id, block.ends_at > block.created_at) == ("example.org", ada.id, True)
    page = administrator.get(BLOCKS).text
    assert "example.org is blocked." in page
    assert "&lt;b&gt;spam&lt;/b&gt;" in page
    assert "It was blocked for this reason: &lt;b&gt;spam" in administrator.get(f"{BLOCKS}/1/remove").text
    assert blocks.find("eve@example.org")
    assert administrator.post(f"{BLOCKS}/1/remove").location == BLOCKS
    assert administrator.get(f"{BLOCKS}/1/remove").status_code == 404
    assert db.session.scalars(select(Block)).all() == []


REFUSED = {
    "127.0.0.0/24": "This is your own network: your address is 127.0.0.1.",
    "0.0.0.0/0": "This is your own network",
    "10.0.0.0/8": "This blocks 16,777,216 addresses. To block it anyway, use the command line",
    "com": "This blocks all addresses that end in .com.",
    "no domain": "Enter an email address, a domain or a network",
    "": "Enter what to block.",
}


@pytest.mark.parametrize(("subject", "words"), REFUSED.items())
def test_what_an_administrator_should_not_block_is_refused_with_the_reason(administrator, subject, words):
    page = administrator.post(BLOCKS, data={"subject": subject, "reason": "x", "days": ""})
    assert (page.status_code, words in page.text) == (422, True)
    assert db.session.scalars(select(Block)).all() == []


@pytest.mark.parametrize("days", ["-3", "0", "3651"])
def test_a_block_ends_after_a_number_of_days(administrator, days):
    page = administrator.post(BLOCKS, data={"subject": "eve@example.com", "reason": "x", "days": days})
    assert (page.status_code, "Enter a number from 1 to 3650." in page.text) == (422, True)
