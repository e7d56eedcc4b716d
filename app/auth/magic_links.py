# mypy: ignore-errors
"""Logging in by an email: the link logs in the browser that asked, its code too; elsewhere it needs a button."""

from flask import flash, redirect, render_template, request, session, url_for
from flask_login import current_user
from wtforms import BooleanField

from app.accounts import magic_links
from app.auth import access, login_flow, next_url
from app.auth.blueprint import bp
from app.auth.forms import Form, code_field, email_field, form_page
from app.extensions import db
from app.models import EmailChallenge
from app.request_state import MagicLinkRequest, SessionKey, magic_link_request
from app.security import audit, tokens
from app.security.rate_limits import rate_limited
from app.security.token_purposes import TokenPurpose
from app.web import errors

# One sentence for whatever is wrong: it must not tell whether the address has an account.
WRONG_CODE = "That code is not right, or can't be used any more. Look at the newest email, or have another one sent."


class MagicLinkForm(Form):
    email = email_field()
    remember_me = BooleanField("Keep me logged in")


class CodeForm(Form):
    code = code_field()


class ButtonForm(Form):
    remember_me = BooleanField("Keep me logged in")


@bp.route("/magic-link", methods=["GET", "POST"])
@rate_limited("requests")
def magic_link():
    if current_user.is_authenticated:
        return redirect(url_for("main.index"))
    form = MagicLinkForm()
    if form.validate_on_submit():
        return _send(form.email.data, form.remember_me.data)
    return form_page("auth/magic_link.html", form)


@bp.route("/magic-link/sent", methods=["GET", "POST"])
@rate_limited("code")
def magic_link_sent():
    challenge = _asked_here()
    if not challenge:
        return redirect(url_for("auth.magic_link"))
    form = CodeForm()
    if "again" in request.form and form.is_submitted():
        return _send(challenge.email, magic_link_request().remember)
    if form.validate_on_submit():
        right = challenge.use(form.code.data)
        answer = _log_in(challenge.user, magic_link_request().remember) if right else None
        db.session.commit()  # a wrong attempt counts
        if answer:
            return answer
        audit.note_attempt(audit.Attempt.CODE_FAILED)
        form.code.errors.append(WRONG_CODE)
    return form_page(
        "auth/magic_link_sent.html", form, challenge=challenge, wait=magic_links.seconds_to_wait(challenge)
    )


@bp.route("/magic-link/<token>", methods=["GET", "POST"])
def use_magic_link(token):
    resolved = tokens.resolve(token, TokenPurpose.MAGIC_LINK)
    if not resolved:
        return errors.invalid_link()
    user = resolved.user
    if user == current_user:
        return redirect(url_for("main.index"))
    form, asked = ButtonForm(), magic_link_request()
    is_asked_here = asked and asked.challenge_id == resolved.claims.extra.get("challenge")
    if is_asked_here and access.is_opened_by_user():
        return _log_in(user, asked.remember) or errors.invalid_link()
    if form.validate_on_submit():
        return _log_in(user, form.remember_me.data) or errors.invalid_link()
    return render_template("auth/use_magic_link.html", form=form, user=user, token=token)


def _asked_here():
    """What this browser asked for and waits for."""
    asked = magic_link_request()
    return asked and db.session.get(EmailChallenge, asked.challenge_id)


def _send(email, remember):
    """Have an email sent, unless this browser had one sent a moment ago; lead to the page that waits for it."""
    earlier = _asked_here()
    wait = magic_links.seconds_to_wait(earlier) if earlier and earlier.email == email else 0
    if wait:
        flash(f"Another email can be sent in {wait} {'second' if wait == 1 else 'seconds'}.", "info")
        return redirect(url_for("auth.magic_link_sent"))
    challenge = magic_links.ask(email, earlier)
    MagicLinkRequest(challenge.id, remember).store(SessionKey.MAGIC_LINK)
    db.session.commit()
    if going := next_url.safe_next_url(request.args.get("next")):
        session[SessionKey.NEXT], session[SessionKey.NEXT_FOR] = going, None
    if earlier and earlier.email == email:
        flash("Another email is on its way.", "success")
    return redirect(url_for("auth.magic_link_sent"))


def _log_in(user, remember):
    """Log in, if nobody used the link or the code meanwhile; after a first proof a new password comes first."""
    is_first_proof = not user.confirmed
    if not magic_links.log_in(user):
        return None
    if not is_first_proof:
        return login_flow.complete_login(user, "magic_link", remember)
    words = "Your address is confirmed. Whoever else was logged in is out, and the old password is gone."
    return login_flow.complete_login(user, "magic_link", remember, to=url_for("auth.change_password"), message=words)
