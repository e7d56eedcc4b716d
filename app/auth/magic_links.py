"""Magic links: the pages to request one, to enter its code, and to log in by it.

In the browser that requested it, the link logs in at once; in another browser, it shows a button.
"""

from flask import flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from werkzeug.wrappers import Response
from wtforms import BooleanField

from app import formats, switches
from app.accounts import magic_links
from app.auth import access, login_flow
from app.auth.blueprint import bp
from app.auth.fields import KEEP, CodeForm, RememberForm, email_field, typed_at_login
from app.auth.forms import Form, form_page
from app.extensions import db
from app.models import EmailChallenge, User
from app.request_state import MagicLinkRequest, SessionKey
from app.security import audit, tokens
from app.security.rate_limits import rate_limited
from app.security.token_purposes import TokenPurpose
from app.web import errors, language
from app.web.own_urls import safe_next_url

# One message for all problems, so that it does not reveal whether the email address has an account.
WRONG_CODE = _l("This code is incorrect or has expired. Enter the code from the newest email, or request another one.")
FIRST_PROOF = _l("Your email address is confirmed. What was set up before, such as other logins, was removed.")
# The page after a first proof, for the first of these that is on.
SET_UP = {"password": "auth.change_password", "passkey": "auth.list_passkeys", "magic_link": "main.account"}


class MagicLinkForm(Form):
    email = email_field()
    remember_me = BooleanField(KEEP)


@bp.route("/magic-link", methods=["GET", "POST"])
@rate_limited("requests")
def magic_link() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect(url_for("main.index"))
    form = MagicLinkForm(email=typed_at_login())
    if form.validate_on_submit():
        return _send(form.email.data, form.remember_me.data)
    if typed_at_login() is not None:
        form.email.errors = []  # it was left empty there, or had a username
    return form_page("auth/magic_link.html", form)


@bp.route("/magic-link/sent", methods=["GET", "POST"])
@rate_limited("code")
def magic_link_sent() -> ResponseReturnValue:
    requested, challenge = MagicLinkRequest.load(SessionKey.MAGIC_LINK), _challenge()
    if not requested or not challenge:
        return redirect(url_for("auth.magic_link"))
    form = CodeForm()
    if "again" in request.form and form.is_submitted():
        return _send(challenge.email, requested.remember)
    if form.validate_on_submit():
        if response := _use_code(challenge, form.code.data, requested.remember):
            return response
        form.code.errors = [WRONG_CODE]
    return form_page("auth/magic_link_sent.html", form, challenge=challenge, wait=challenge.seconds_to_wait)


@bp.route("/magic-link/<token>", methods=["GET", "POST"])
def use_magic_link(token: str) -> ResponseReturnValue:
    others = (TokenPurpose.FIRST_LOGIN, TokenPurpose.CONFIRM) if switches.is_on("passwordless") else ()
    resolved = tokens.resolve(token, TokenPurpose.MAGIC_LINK, *others)
    if not resolved:
        return errors.invalid_link()
    user = resolved.user
    if user == current_user:
        return redirect(url_for("main.index"))
    form, requested = RememberForm(), MagicLinkRequest.load(SessionKey.MAGIC_LINK)
    is_same_browser = requested and requested.challenge_id == resolved.claims.extra.get("challenge")
    if requested and is_same_browser and access.is_opened_by_user():
        return _log_in(user, requested.remember) or errors.invalid_link()
    if form.validate_on_submit():
        return _log_in(user, form.remember_me.data) or errors.invalid_link()
    return render_template("auth/use_magic_link.html", form=form, user=user, token=token)


def _challenge() -> EmailChallenge | None:
    requested = MagicLinkRequest.load(SessionKey.MAGIC_LINK)
    return db.session.get(EmailChallenge, requested.challenge_id) if requested else None


def _send(email: str, remember: bool) -> Response:
    """Send an email, unless this browser has just requested one, and redirect to the page for its code."""
    earlier = _challenge()
    is_again = earlier is not None and earlier.email == email
    if earlier and is_again and (wait := earlier.seconds_to_wait):
        flash(_("You can request another email %(later)s.", later=formats.later(wait)), "info")
        return redirect(url_for("auth.magic_link_sent"))
    challenge = magic_links.request(email, earlier)
    MagicLinkRequest(challenge.id, remember).store(SessionKey.MAGIC_LINK)
    language.keep_time_zone()
    db.session.commit()
    if target := safe_next_url(request.args.get("next")):
        session[SessionKey.NEXT], session[SessionKey.NEXT_FOR] = target, None
    if is_again:
        flash(_("We sent another email."), "success")
    return redirect(url_for("auth.magic_link_sent"))


def _use_code(challenge: EmailChallenge, code: str, remember: bool) -> Response | None:
    is_right = challenge.use(code)
    response = _log_in(challenge.user, remember) if is_right and challenge.user else None
    db.session.commit()  # a failed attempt counts
    if response is None:
        audit.note_attempt(audit.Attempt.CODE_FAILED)
    return response


def _log_in(user: User, remember: bool) -> Response | None:
    """Log in, or return None if another request was faster. After a first proof, ask for a new credential."""
    is_first_proof = not user.confirmed
    if not magic_links.use(user):
        return None
    if not is_first_proof:
        return login_flow.complete_login(user, "magic_link", remember)
    target = url_for(next(page for switch, page in SET_UP.items() if switches.is_on(switch)))
    return login_flow.complete_login(user, "magic_link", remember, to=target, message=str(FIRST_PROOF))
