"""Taking an account back by the link "This wasn't me" in every security email."""

import re
from itertools import count, permutations

import pytest
from sqlalchemy import select
from support.authenticators import prove, set_up
from support.clients import PASSWORD, on_sqlite

from app.accounts import (
    account_deletion,
    authenticators,
    credentials,
    email_ownership,
    invitations,
    passkeys,
    passwords,
    recovery_codes,
    secure_account,
    sessions,
    two_factor,
)
from app.email.outbox import enqueue, recipient_hash
from app.email.templates import Email
from app.extensions import db
from app.models import (
    AuditAction,
    AuditEvent,
    Authenticator,
    Device,
    EmailChange,
    Identity,
    Invitation,
    OutboxEmail,
    Passkey,
    PasskeyRequirement,
    RecoveryCode,
    User,
)
from app.security import audit, signing
from app.security.token_purposes import TokenPurpose

NEW = "a lighthouse keeper sleeps at noon"
numbers = count(1)


def link_to(event, email=None):
    """Return the path of the link for an event, as sent to the address of that time."""
    changed = select(EmailChange.old_email).where(
        EmailChange.user_id == event.user_id, EmailChange.event_id >= event.id
    )
    first = db.session.scalar(changed.order_by(EmailChange.id).limit(1))
    recipient = recipient_hash(email or first or db.session.get(User, event.user_id).email)
    token = signing.sign(
        TokenPurpose.SECURE_ACCOUNT, event.user_id, signing.fingerprint(), event=event.id, to=recipient
    )
    return f"/auth/secure-account/{token}"


def newest(action):
    return db.session.scalar(
        select(AuditEvent).where(AuditEvent.action == action).order_by(AuditEvent.id.desc()).limit(1)
    )


def passkey_of(user, name="owner's", event=None):
    key = Passkey(user_id=user.id, name=name, credential_id=f"{name} {next(numbers)}", public_key="x", sign_count=0)
    key.event_id = event and event.id
    return key


def person(name, **columns):
    user = User(email=f"{name}@example.com", username=name, password=PASSWORD, confirmed=True, **columns)
    db.session.add(user)
    db.session.flush()
    return user


def session_of(user):
    started = sessions.start(user, "password")
    db.session.flush()
    user.current_session = started
    return started


def state(user):
    """Return everything that gives access to the account, or could take it away."""
    db.session.expire_all()
    found = {
        model.__name__: {row.id for row in db.session.scalars(select(model).where(model.user_id == user.id))}
        for model in (Authenticator, Identity, Passkey, PasskeyRequirement, RecoveryCode)
    }
    return found | {"email": user.email, "on": two_factor.is_on(user), "deletion": user.deletion_due_at}


def take_back(event, password=NEW, everything=False):
    link = secure_account.find(link_to(event).rpartition("/")[2], everything)
    assert link, event.action
    assert secure_account.take_back(link)
    assert secure_account.choose_password(link.user, password)
    db.session.flush()


# What an attacker with a stolen session can do after proving both factors once


def add_app(user, session):
    secret = authenticators.new_secret()
    factor = Authenticator(user_id=user.id, secret=signing.encrypt("authenticator", secret))
    assert two_factor.add(user, factor, session) is not None


def remove_passkeys(user, session):
    for key in db.session.scalars(select(Passkey).where(Passkey.user_id == user.id)).all():
        assert passkeys.remove(key, session)


def add_passkey(user, session):
    passkeys.add(user, passkey_of(user, "thief's"))


def require_passkey(user, session):
    """Turn two-factor authentication on, with a passkey of one's own if there is none."""
    if not two_factor.passkey_requirement(user):
        if "passkey" not in two_factor.methods(user):
            add_passkey(user, session)
        assert two_factor.require_passkey(user, session) is not None


def stop_requiring_passkey(user, session):
    two_factor.stop_requiring_passkey(user, session)


def renew_codes(user, session):
    if two_factor.is_on(user):
        recovery_codes.renew(user)


def link_identity(user, session):
    user.lock()
    event = audit.record(user, AuditAction.IDENTITY_LINKED, provider="acme")
    db.session.flush()
    db.session.add(
        Identity(user_id=user.id, provider="acme", issuer="https://acme", subject=str(next(numbers)), event_id=event.id)
    )
    enqueue(Email.IDENTITY_LINKED, user, event=event, label="Acme", address=None)


def unlink_identities(user, session):
    event = audit.record(user, AuditAction.IDENTITY_UNLINKED, provider="mine")
    if credentials.remove(event, Identity, Identity.user_id == user.id):
        enqueue(Email.IDENTITY_UNLINKED, user, event=event, label="Acme", address=None)


def ask_for_deletion(user, session):
    account_deletion.request(user)


STEPS = [add_app, remove_passkeys, renew_codes, link_identity, ask_for_deletion]


def owner_with_passkey(name):
    user = person(name)
    identity = Identity(user_id=user.id, provider="mine", issuer="https://mine", subject=name)
    db.session.add_all([passkey_of(user), PasskeyRequirement(user_id=user.id), identity])
    user.two_factor_enabled_at = user.created_at
    db.session.add_all(RecoveryCode(user_id=user.id, hash=f"{number:064}") for number in range(10))
    db.session.flush()
    return user


def rob(user, steps):
    """Run the steps from one session, and return the events that the user was notified of."""
    session = session_of(user)
    first = db.session.scalar(select(OutboxEmail.id).order_by(OutboxEmail.id.desc()).limit(1)) or 0
    for step in steps:
        step(user, session)
        db.session.flush()
    told = db.session.scalars(
        select(OutboxEmail).where(OutboxEmail.user_id == user.id, OutboxEmail.id > first).order_by(OutboxEmail.id)
    )
    return [db.session.get(AuditEvent, email.claims["event"]) for email in told if "event" in email.claims]


def check_every_email(steps):
    """Assert that any of the emails restores the account, and leaves the attacker no access."""
    probe = owner_with_passkey(f"probe{next(numbers)}")
    for chosen in range(len(rob(probe, steps))):
        user = owner_with_passkey(f"owner{next(numbers)}")
        before = state(user)
        take_back(rob(user, steps)[chosen])
        assert state(user) == before, (chosen, [step.__name__ for step in steps])
        assert not sessions.find_all(user)
        assert user.verify_password(NEW)
        assert not user.verify_password(PASSWORD)


@pytest.mark.parametrize("first", range(len(STEPS)))
def test_every_security_email_restores_the_account(app, first):
    check_every_email(STEPS[first:] + STEPS[:first])
    check_every_email([STEPS[first], STEPS[first - 2]])


@on_sqlite
@pytest.mark.extended
@pytest.mark.parametrize("first", STEPS)
def test_every_security_email_restores_the_account_after_three_steps_in_any_order(app, first):
    for others in permutations([step for step in STEPS if step is not first], 2):
        check_every_email([first, *others])


@pytest.mark.parametrize("more", [add_passkey, unlink_identities, stop_requiring_passkey])
def test_other_steps_of_an_attacker_are_undone(app, more):
    check_every_email([more, remove_passkeys, renew_codes])
    check_every_email([renew_codes, remove_passkeys, more])


# The user's own changes: an attacker who reads the mailbox must not weaken the account


def remove_app(user, session):
    if authenticators.find(user):
        assert authenticators.remove(user, session)


def change_password(user, session):
    assert passwords.change(user, "an owl counts the stairs twice", session)


LATER = [add_passkey, remove_app, renew_codes, link_identity, change_password, ask_for_deletion, remove_passkeys]
BY_PASSKEY = [stop_requiring_passkey, remove_passkeys, add_app, renew_codes]


def own_passkey(user, session):
    db.session.add(passkey_of(user))


@pytest.mark.parametrize("same_session", [True, False])
@pytest.mark.parametrize(
    ("start", "reported"),
    [
        *(([add_app], step) for step in LATER[:-1]),
        *(([add_app, own_passkey], step) for step in LATER),
        *(([own_passkey, require_passkey], step) for step in BY_PASSKEY),
    ],
)
@pytest.mark.extended
@on_sqlite
def test_this_wasnt_me_never_turns_two_factor_off(app, start, reported, same_session):
    for later in {*LATER, *BY_PASSKEY} if require_passkey in start else LATER:
        user = person(f"owner{next(numbers)}")
        session = session_of(user)
        for step in start:
            step(user, session)
        if not same_session:
            session = session_of(user)
        kinds = two_factor.methods(user)
        reported(user, session)
        event = db.session.scalar(
            select(AuditEvent).where(AuditEvent.user_id == user.id).order_by(AuditEvent.id.desc()).limit(1)
        )
        assert event.action in secure_account.CHANGES
        if later is not reported:
            later(user, session)
        take_back(event)
        assert two_factor.is_on(user), later
        if not same_session:  # otherwise the app may be the attacker's
            assert two_factor.methods(user) == kinds, later


def test_reversing_an_email_change_keeps_two_factor(app):
    user = owner_with_passkey("ada")
    before = state(user)
    event = change_email(user, "ada@elsewhere.example")
    take_back(event)
    assert state(user) == before


def change_email(user, email):
    event = audit.record(user, AuditAction.EMAIL_CHANGED, old=user.email, new=email)
    db.session.flush()
    db.session.add(EmailChange(user_id=user.id, old_email=user.email, old_email_key=user.email_key, new_email=email))
    db.session.flush()
    db.session.scalar(select(EmailChange).order_by(EmailChange.id.desc()).limit(1)).event_id = event.id
    user.email, user.password_version = email, user.password_version + 1
    db.session.flush()
    return event


# The page and its link


@pytest.fixture
def robbed(client, ada, outbox, clock):
    """Change ada's password as an attacker, and return the link of the email about it."""
    client.log_in(ada)
    data = {"old_password": PASSWORD, "password": "a thief in the pantry", "confirm_password": "a thief in the pantry"}
    client.post("/auth/change-password", data=data)
    return outbox.link()


def test_the_secure_account_page_lists_changes_and_changes_nothing(client, another_client, robbed):
    page = another_client.get(robbed)
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-store")
    assert "Password changed" in page.text
    assert "ada@example.com" in page.text
    assert client.get("/account").status_code == 200, "GET changes nothing"


def test_the_secure_account_form_restores_the_account_and_sets_the_password(
    client, another_client, robbed, ada, outbox
):
    answer = another_client.post(robbed, data={"password": NEW, "confirm_password": NEW})
    assert answer.location == "/auth/login"
    assert client.get("/account").location.startswith("/auth/login")
    assert not db.session.scalars(select(Device)).all(), "all devices are forgotten"
    assert another_client.log_in(ada, NEW).location == "/"
    assert outbox()[-1].subject == "Your Flasky account is secured"
    assert another_client.get(robbed).status_code == 410, "it works once"
    assert another_client.post(robbed, data={"password": NEW, "confirm_password": NEW}).status_code == 410


def test_a_refused_password_does_not_delay_taking_the_account_back(client, another_client, robbed, ada, outbox):
    client.post("/auth/reset", data={"email": ada.email})
    reset = outbox.link()
    refused = another_client.post(robbed, data={"password": "short", "confirm_password": "short"})
    assert refused.status_code == 422
    assert client.get("/account").location.startswith("/auth/login"), "the attacker was logged out"
    assert client.get(reset).status_code == 410
    assert "Choose a new password" in another_client.get(robbed).text
    assert another_client.post(robbed, data={"password": NEW, "confirm_password": NEW}).location == "/auth/login"
    assert another_client.log_in(ada, NEW).location == "/"
    assert another_client.get(robbed).status_code == 410


def test_after_taking_back_the_password_is_chosen_within_an_hour(client, another_client, robbed, clock):
    another_client.post(robbed, data={})
    clock.move(hours=1)
    assert another_client.post(robbed, data={"password": NEW, "confirm_password": NEW}).status_code == 410


def test_after_taking_back_the_password_is_set_only_once(client, another_client, robbed, outbox):
    another_client.post(robbed, data={})
    another_client.post("/auth/reset", data={"email": "ada@example.com"})
    another_client.post(outbox.link(), data={"password": NEW, "confirm_password": NEW})
    data = {"password": "a thief in the attic", "confirm_password": "a thief in the attic"}
    assert another_client.post(robbed, data=data).status_code == 410


@pytest.mark.parametrize(("days", "status"), [(6.99, 200), (7, 410)])
def test_the_secure_account_link_works_for_seven_days(another_client, robbed, clock, days, status):
    clock.move(days=days)
    assert another_client.get(robbed).status_code == status


def test_a_secure_account_link_for_another_account_or_no_event_is_invalid(client, ada, bob, robbed):
    event, to = newest("password_changed"), recipient_hash(ada.email)
    for subject, number in ((bob.id, event.id), (ada.id, 0), (ada.id, 10**9), (ada.id, None)):
        token = signing.sign(TokenPurpose.SECURE_ACCOUNT, subject, signing.fingerprint(), event=number, to=to)
        assert client.get(f"/auth/secure-account/{token}").status_code == 410


def test_taking_back_revokes_links_of_later_events_only(app):
    user = person("ada")
    session = session_of(user)
    passwords.change(user, "an owl counts the stairs twice", session)
    first = newest("password_changed")
    passwords.change(user, "a heron waits below the bridge", session_of(user))
    second = newest("password_changed")
    passwords.change(user, "a badger knows the way by heart", session_of(user))
    third = newest("password_changed")
    take_back(second)
    links = [secure_account.find(link_to(event).rpartition("/")[2]) for event in (first, second, third)]
    assert [bool(link) for link in links] == [True, False, False]
    take_back(first)


def test_every_security_email_contains_the_secure_account_link(client, ada, outbox, clock):
    client.log_in(ada)
    # nobody got access, or the account is gone
    without = {Email.ACCOUNT_CHANGED, "account_secured", Email.EMAIL_REMOVED, "account_deleted", "password_guessing"}
    without |= {Email.TEST, Email.INVITATION}
    has_this_link = {Email.CODE, Email.VERIFY_DEVICE}
    requested = {name for name in Email if name.is_requestable} - has_this_link | {
        Email.FIRST_LOGIN,
        Email.FIRST_PASSWORD,
    }
    for name in set(Email) - without - requested:
        event = audit.record(ada, AuditAction.PASSWORD_CHANGED)
        details = {
            "new_email": "x@example.com",
            "label": "Acme",
            "address": None,
            "factor": "a passkey",
            "role": "moderator",
        }
        enqueue(name, ada, event=event, due="1 May", left=3, is_last=False, **details)
        db.session.commit()
        body = outbox()[-1].body
        assert re.search(r"This wasn't me:\nhttp://localhost/auth/secure-account/\S+\n", body), name


def test_an_identity_linked_elsewhere_since_is_not_restored(app):
    user, other = owner_with_passkey("ada"), person("bob")
    session_of(user)
    unlink_identities(user, None)
    event = newest("identity_unlinked")
    db.session.add(Identity(user_id=other.id, provider="mine", issuer="https://mine", subject="ada"))
    db.session.flush()
    take_back(event)
    assert state(user)["Identity"] == set()


def test_a_session_without_changes_undoes_nothing_more(app):
    user = owner_with_passkey("ada")
    session_of(user)
    renew_codes(user, None)
    session = session_of(user)
    before = state(user)
    link_identity(user, session)
    take_back(newest("identity_linked"))
    assert state(user) == before


def test_taking_back_an_unconfirmed_account_clears_it(app, bob):
    session = session_of(bob)
    passwords.change(bob, "a thief in the pantry", session)
    event = newest("password_changed")
    link_identity(bob, session)
    bob.deletion_due_at = bob.created_at
    take_back(event)
    assert bob.confirmed
    assert state(bob)["Identity"] == set()
    assert bob.deletion_due_at is None


def test_of_two_concurrent_uses_of_the_secure_account_link_one_wins(app):
    user = owner_with_passkey("ada")
    session_of(user)
    renew_codes(user, None)
    token = link_to(newest("recovery_codes_made")).rpartition("/")[2]
    first, second = secure_account.find(token), secure_account.find(token)
    assert secure_account.take_back(first)
    assert not secure_account.take_back(second)


def test_the_link_of_the_first_factor_undoes_later_factors(app):
    user = person("ada")
    first = session_of(user)
    add_app(user, first)
    event = newest("two_factor_on")
    remove_app(user, first)
    add_app(user, session_of(user))
    take_back(event)
    assert not two_factor.is_on(user), "two-factor was off before the event"


# The link is bound to its recipient and its account


def test_a_secure_account_link_sent_to_a_corrected_address_is_invalid(client, another_client, bob, outbox):
    """Otherwise an attacker could confirm the victim's address, or take the account after the victim's proof."""
    client.log_in(bob)
    client.post("/auth/reauthenticate", data={"send_code": "y"})
    link = re.search(r"http://localhost(/auth/secure-account/\S+)", outbox()[-1].body)[1]
    client.post("/auth/unconfirmed", data={"email": "victim@bank.example"})
    form = {"password": NEW, "confirm_password": NEW}
    assert another_client.post(link, data=form).status_code == 410
    assert not db.session.scalar(select(User.confirmed))
    another_client.post("/auth/reset", data={"email": "victim@bank.example"})
    assert another_client.post(outbox.link(), data=form).status_code == 302
    assert client.post(link, data=form).status_code == 410


def test_a_first_proof_revokes_earlier_secure_account_links(app, bob):
    audit.record(bob, AuditAction.PASSWORD_CHANGED)
    db.session.flush()
    event = newest("password_changed")
    email_ownership.prove(bob)
    assert not secure_account.find(link_to(event).rpartition("/")[2])


def test_a_link_sent_to_the_attackers_address_undoes_nothing_earlier(app):
    """Otherwise an attacker could use up the user's links and set a password."""
    user = person("ada")
    session = session_of(user)
    passwords.change(user, "a thief in the pantry", session)
    first = newest("password_changed")
    changed = change_email(user, "thief@evil.example")
    changed.session = session.key
    passwords.change(user, "a thief in the attic", session)
    take_back(newest("password_changed"))
    assert user.email == "thief@evil.example"
    assert secure_account.find(link_to(first, "ada@example.com").rpartition("/")[2])
    take_back(first)
    assert user.email == "ada@example.com"


def test_every_security_email_can_undo_the_whole_week(app):
    """One link alone would miss what an attacker did in other sessions, or after turning two-factor on."""
    user = person("ada")
    before = state(user)
    require_passkey(user, session := session_of(user))
    renew_codes(user, session)
    link_identity(user, session_of(user))
    event = newest("identity_linked")
    link = secure_account.find(link_to(event).rpartition("/")[2])
    earlier = [change.action for change in secure_account.earlier_changes(link)]
    assert earlier == ["recovery_codes_made", "two_factor_on", "passkey_added"]
    take_back(event, everything=True)
    assert state(user) == before


def test_the_secure_account_page_offers_earlier_changes(client, another_client, ada, clock, outbox):
    client.log_in(ada)
    phone = set_up(client, clock)
    prove(client, phone)
    client.post("/auth/recovery-codes")
    link = re.search(r"http://localhost(/auth/secure-account/\S+)", outbox()[-1].body)[1]
    page = another_client.get(link)
    assert "I didn't make these changes either" in page.text
    form = {"password": NEW, "confirm_password": NEW, "everything": "y"}
    assert another_client.post(link, data=form).location == "/auth/login"
    assert another_client.log_in(ada, NEW).location == "/"


def test_taking_back_fails_if_two_factor_cannot_be_restored(app):
    """The passkey cannot be restored, since an attacker's account has registered it."""
    user, other = owner_with_passkey("ada"), person("eve")
    session = session_of(user)
    add_app(user, session)
    event = newest("two_factor_on")
    kept = db.session.scalar(select(Passkey.credential_id))
    remove_passkeys(user, session)
    db.session.add(Passkey(user_id=other.id, name="x", credential_id=kept, public_key="x", sign_count=0))
    db.session.flush()
    link = secure_account.find(link_to(event).rpartition("/")[2])
    assert not secure_account.take_back(link)


def test_changes_by_the_user_in_the_stolen_session_stay_if_they_protect(app):
    """The user added the passkey in the stolen session: it stays, and the attacker's steps are undone."""
    user = person("ada")
    session = session_of(user)
    require_passkey(user, session)
    before = state(user)
    for step in (add_app, remove_passkeys, renew_codes, link_identity):
        step(user, session)
        db.session.flush()
    take_back(newest("identity_linked"))
    assert state(user) == before


def test_taking_back_works_with_a_domain_that_is_no_longer_accepted(app):
    app.config["EMAIL_SPECIAL_DOMAINS"] = ("home.arpa",)
    user = User(email="ada@garden.home.arpa", username="ada", password=PASSWORD, confirmed=True)
    db.session.add(user)
    db.session.flush()
    passwords.change(user, "an owl counts the stairs twice", session_of(user))
    app.config["EMAIL_SPECIAL_DOMAINS"] = ()
    take_back(newest("password_changed"))
    assert user.verify_password(NEW)


@on_sqlite
def test_taking_back_withdraws_the_invitations_since_and_inviters_are_told(
    administrator, another_client, ada, outbox, clock
):
    invitations.send("friend@example.org", "moderator", by=ada)
    db.session.commit()
    clock.move(seconds=1)
    administrator.post("/admin/invitations", data={"email": "mallory@example.org", "role": "administrator"})
    *_, notice = [email for email in outbox() if email.subject == "Someone was invited to Flasky with your account"]
    assert notice.recipients == [ada.email]
    way_back = re.search(r"/auth/secure-account/\S+", notice.body)[0]
    assert "Invitation sent" in another_client.get(way_back).text
    another_client.post(way_back, data={"password": NEW, "confirm_password": NEW})
    states = dict(db.session.execute(select(Invitation.email, Invitation.withdrawn_at)).all())
    assert (states["friend@example.org"], bool(states["mallory@example.org"])) == (None, True)
