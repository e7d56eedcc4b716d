"""What the tour of pages needs and a person would wait for: routes that arrange it, and accounts."""

from flask_login import current_user
from sqlalchemy import update

from app import clock
from app.auth import proof_of_work
from app.email import delivery
from app.email.outbox import enqueue
from app.email.templates import Email
from app.extensions import db
from app.models import User, UserSession
from support.clients import PASSWORD
from support.crowded import crowd, run_for_a_year
from support.tour import LONG


def add_to(app):
    app.add_url_rule("/bug", "bug", lambda: 1 / 0)
    app.add_url_rule("/age", "age", forget_when_they_logged_in)
    app.add_url_rule("/confirmed", "confirmed", confirm_all_addresses)
    app.add_url_rule("/bounced", "bounced", bounce_all_addresses)
    app.add_url_rule("/crowd", "crowd", lambda: str(crowd(current_user)))
    app.add_url_rule("/administer", "administer", administer)
    app.add_url_rule("/year", "year", lambda: str(run_for_a_year()))
    app.add_url_rule("/captcha", "captcha", lambda: ask_for_people(app))
    app.add_url_rule("/altcha", "altcha", lambda: str(app.config.update(CAPTCHA="altcha")))
    app.add_url_rule("/auth/captcha", "auth.captcha_challenge", proof_of_work.captcha_challenge)
    app.add_url_rule("/captcha.js", "script", lambda: ("", {"Content-Type": "text/javascript"}))
    app.add_url_rule("/verify-devices", "verify", lambda: str(app.config.update(VERIFY_NEW_DEVICES=True)))
    app.add_url_rule("/hide", "hide", lambda: str(app.config.update(PREVENT_ENUMERATION=True)))


def add_people(bob):
    """Add somebody whose name fills a page, and Bob's email to the mailbox."""
    db.session.add(User(username=LONG, email=f"{LONG}@{'x' * 60}.{'y' * 60}.example", password=PASSWORD))
    enqueue(Email.CONFIRM, bob)
    bob.confirmation_sent_at = bob.created_at
    db.session.commit()
    delivery.deliver()


def forget_when_they_logged_in():
    db.session.execute(update(UserSession).values(authenticated_at=None))
    db.session.commit()
    return ""


def confirm_all_addresses():
    db.session.execute(update(User).values(confirmed=True))
    db.session.commit()
    return ""


def bounce_all_addresses():
    db.session.execute(update(User).values(email_bounced_at=clock.now()))
    db.session.commit()
    return ""


def administer():
    """Make the user an administrator with two-factor authentication."""
    current_user.is_admin, current_user.two_factor_enabled_at = True, clock.now()
    db.session.commit()
    return ""


def ask_for_people(app):
    keys = {"RECAPTCHA_PUBLIC_KEY": "public", "RECAPTCHA_PRIVATE_KEY": "private", "CAPTCHA_ALWAYS": True}
    app.config.update(keys, CAPTCHA="recaptcha", RECAPTCHA_SCRIPT=f"{app.config['PUBLIC_URL']}/captcha.js")
    return ""
