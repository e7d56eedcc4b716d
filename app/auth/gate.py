"""The one way in and out. Every login method proves who someone is, then calls log_in().

It asks for two-factor authentication if the account has it. No other place does, and no login bypasses it.
"""

import secrets
from datetime import UTC, datetime, timedelta
from functools import wraps
from urllib.parse import quote

from flask import abort, current_app, flash, g, jsonify, redirect, render_template, request, session, url_for
from flask_login import current_user, login_required, login_user, logout_user
from sqlalchemy.exc import OperationalError

from app import clock, signals
from app.accounts import device_verification, sessions, trusted_devices, two_factor
from app.auth import held_forms
from app.auth.blueprint import bp
from app.auth.next_url import address_asked_for, safe_next
from app.extensions import db, login_manager, read_without_transaction
from app.models import EmailChallenge, User
from app.security import audit
from app.web.negotiation import lead_to, wants_json

OPEN_TO_THE_UNCONFIRMED = {
    "auth.unconfirmed",
    "auth.confirm",
    "auth.send_again",
    "auth.logout",
    "auth.reauthenticate",
    "auth.delete",
    "auth.secure_account",
    "dev.mailbox",
    "dev.email",
    "dev.email_html",
}
OPEN_WHILE_DELETION_IS_PENDING = {"auth.cancel_deletion", "auth.logout", "auth.secure_account"}
OPEN_WITHOUT_TWO_FACTOR = {  # where one must be set up
    "auth.two_factor",
    "auth.list_passkeys",
    "auth.add_passkey",
    "auth.passkey_creation_options",
    "auth.turn_off",
    "auth.renew_codes",
    "auth.reauthenticate",
    "auth.logout",
    "auth.delete",
    "dev.mailbox",
    "dev.email",
    "dev.email_html",
}
OUR_BLUEPRINTS = {"auth", "main", "dev", "bootstrap"}
ASKS_NOBODY = {"static", "bootstrap.static", "main.healthz", "main.readyz"}
NO_WAY_BACK = {"main.index", "auth.sso_callback"}  # coming back to these would make no sense
FIRST_STEPS = ("two_factor", "device_verification")  # in the session: who proved the password, and what is missing
# Of the session: what a provider said, until its owner has logged in; logins that were begun at providers.
SURVIVES_LOGIN = {"external_identity", "sso"}
# Of the session: what is ours, and handed to nobody when its visitor logs in.
OURS = {"_user_id", "_id", "_fresh", "_permanent", "_flashes", "csrf_token", "browser", "next", "next_for", "failures"}
OURS |= {"email_sent_to", "authenticator", "removed_passkey", "magic_link"}
OURS |= {*FIRST_STEPS, *SURVIVES_LOGIN}
DEVICE_LASTS = timedelta(days=365)
TWO_FACTOR_WITHIN = timedelta(minutes=10)
DEVICE_CODE_WITHIN = timedelta(minutes=30)  # after the password; a code lasts 15, and can be sent again

# Why a browser was logged out by what happened elsewhere.
REASONS = {
    "expired": "You were logged out, because you had not been here for long.",
    "password_changed": "You were logged out, because the password of the account was changed in another browser.",
    "password_reset": "You were logged out, because a new password was chosen by a mailed link.",
    "password_removed": "You were logged out, because the password of the account was removed in another browser.",
    "email_changed": "You were logged out, because the address of the account was changed in another browser.",
    "account_secured": "You were logged out, because the account was taken back from an email about it.",
    "email_ownership_proved": "You were logged out, because somebody proved that the account's address is theirs.",
    "logged_out_everywhere": "You were logged out everywhere by those who run this site.",
    "revoked_elsewhere": "You were logged out, because this browser was ended in another one.",
    "identity_unlinked": "You were logged out, because an account elsewhere was taken off yours in another browser.",
    "two_factor_changed": "You were logged out, because two-factor authentication of the account was changed.",
    "too_many": "You were logged out, because the account was logged in with many other browsers since.",
    "deletion": "You were logged out, because the account is to be deleted.",
    "deactivated": "You were logged out, because the account was deactivated.",
}


def complete_login(user, method, remember=False, to=None, words=None, is_both_factors=False):
    """Sign this browser in as `user`, who has proved it by `method`, and return the way to where they were going.

    Ask for two-factor authentication first if it is on, the device is not trusted, and the proof does not count as both
    factors. `to`: where they must go first; `words`: what they are told.
    """
    if not user.is_active:
        db.session.rollback()
        flash("This account has been deactivated. Write to us if that surprises you.", "warning")
        return redirect(url_for("auth.login"))
    held = session.get("next") if session.get("next_for") in {None, user.id} else None
    destination = to or safe_next(request.args.get("next")) or safe_next(held) or url_for("main.index")
    is_asked = two_factor.is_on(user) and not is_both_factors
    is_trusted = is_asked and trusted_devices.is_trusted(user, device())
    first_step = {"method": method, "remember": remember, "to": destination, "words": words}
    if is_asked and not is_trusted:
        return _keep_first_step("two_factor", "auth.two_factor_verify", user, **first_step)
    takes_code = method == "password" and device_verification.is_required(user, device())
    if takes_code and not device_verification.use_trust(user):
        return _ask_for_device_code(user, **first_step)
    return _let_in(user, method, remember, destination, words, is_by_trust=is_trusted)


def pending_two_factor():
    """Return whose first step this browser has done, and is to do the second: None if that is void by now."""
    return _whose_first_step("two_factor", TWO_FACTOR_WITHIN)


def complete_two_factor(trust_device=False):
    """Log in the one whom two_factor() returned, who has proved the second factor now; return the way on."""
    user, waiting = pending_two_factor(), session["two_factor"]
    return _let_in(user, waiting["method"], waiting["remember"], waiting["to"], waiting["words"], trust_device)


def unverified_device():
    """Return whose password was right on this device, which must be verified by a code; None if that is void by now."""
    return _whose_first_step("device_verification", DEVICE_CODE_WITHIN)


def wait_for_code(challenge):
    """Note of which email this browser must enter the code."""
    session["device_verification"] = session["device_verification"] | {"challenge": challenge and challenge.id}


def pass_device_verification():
    """Log in the user whom unverified_device() returned, whose code was right; return the way on.

    The login is as recent as the password: the code is no reauthentication.
    """
    user, waiting = unverified_device(), session["device_verification"]
    proved_at = datetime.fromtimestamp(waiting["at"], UTC)
    return _let_in(user, waiting["method"], waiting["remember"], waiting["to"], waiting["words"], proved_at=proved_at)


def start_again(step="two_factor"):
    """Lead a browser that has no two-factor authentication to do, or not any more, to the first."""
    waiting = session.pop(step, None)
    if wants_json():
        abort(401)
    if current_user.is_authenticated:
        return redirect(url_for("main.index"))
    if waiting:
        flash("That took too long, or the account was changed meanwhile. Log in again.", "warning")
    return redirect(url_for("auth.login", next=waiting and waiting["to"]))


def device():
    """Return by what this browser is known again: its cookie, or what that will be."""
    if "device" not in g:
        g.device = audit.device() or secrets.token_urlsafe(32)
    return g.device


def _keep_first_step(step, endpoint, user, **first_step):
    """Keep in mind that the first step is done, in the session: it signs nobody in. Lead to the second."""
    version = user.password_version
    db.session.commit()  # what the first step used up
    session.pop("next", None)  # it is in `first_step`
    for other in FIRST_STEPS:
        session.pop(other, None)
    session[step] = {"user": user.id, "version": version, "at": clock.now().timestamp(), **first_step}
    return _go_or_say(url_for(endpoint), is_logged_in=False)


def _ask_for_device_code(user, **first_step):
    """Email a code, unless this browser was sent one for the same account a moment ago."""
    waiting = session.get("device_verification")
    is_same = waiting and waiting["user"] == user.id and waiting["challenge"]
    challenge = db.session.get(EmailChallenge, waiting["challenge"]) if is_same else None
    if not challenge or not challenge.is_open or not device_verification.seconds_to_wait(challenge):
        challenge = device_verification.send_code(user, challenge)
    challenge_id = challenge and challenge.id
    return _keep_first_step("device_verification", "auth.verify_device", user, challenge=challenge_id, **first_step)


def _whose_first_step(step, within):
    """Return the user whose first step was done here, `within` a while; None if the account has changed since."""
    waiting = session.get(step)
    user = waiting and db.session.get(User, waiting["user"])
    if not user:
        return None
    is_in_time = clock.is_within(datetime.fromtimestamp(waiting["at"], UTC), within)
    is_same = user.is_active and user.password_version == waiting["version"]
    return user if is_in_time and is_same else None


def _let_in(user, method, remember, destination, words, trust_device=False, is_by_trust=False, proved_at=None):
    user_session = sessions.start(user, method, remember, device(), is_by_trust)
    if user_session is None:
        db.session.rollback()
        flash("Your account was changed at this moment. Log in again.", "warning")
        return redirect(url_for("auth.login"))
    user.next_login_trusted_until = None
    if proved_at:
        user_session.authenticated_at = proved_at
    if trust_device:
        g.device = trusted_devices.trust(user, user_session)
    if current_user.is_authenticated and current_user.current_session:
        sessions.revoke(current_user.current_session)
    is_same = not current_user.is_authenticated or current_user == user
    previous = {name: session[name] for name in session.keys() - OURS} if is_same else {}  # else it is another user's
    kept = {name: session[name] for name in SURVIVES_LOGIN & session.keys()}
    session.clear()
    session.update(kept)
    if remember:
        session.permanent = True
    user.current_session = user_session
    login_user(user, force=True)  # whoever was deactivated at this moment is out at the next request
    session.pop("_id", None)  # Flask-Login's own guess at the browser, which nothing reads
    told = {"user": user, "method": method, "previous_session": previous}
    signals.send_after_commit(db.session(), signals.user_logged_in, **told)
    db.session.commit()  # last: what was loaded need not be asked for again
    if words:
        flash(words, "success")
    response = _go_or_say(destination, is_logged_in=True)
    response.set_cookie(
        current_app.config["DEVICE_COOKIE_NAME"],
        device(),
        max_age=DEVICE_LASTS,
        path=current_app.config["SESSION_COOKIE_PATH"],
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )
    return response


def _go_or_say(address, is_logged_in):
    """Lead on after a step of the login; scripts are told where."""
    return jsonify(logged_in=is_logged_in, next=address) if wants_json() else redirect(address)


def log_out():
    """Sign this browser out: its row ends, and a copy of its cookie is worth nothing."""
    user = current_user._get_current_object()
    if user.current_session:
        sessions.revoke(user.current_session)
    logout_user()
    session.clear()
    signals.send_after_commit(db.session(), signals.user_logged_out, user=user)
    db.session.commit()


def credential_changed():
    """Use up the proof that the change of a credential needed, and renew the session; the view calls it last.

    Of two changes at once, one is made.
    """
    use_proof()
    renew_session()


def use_proof():
    """Use up the proof of both factors, if this request needed one."""
    if g.get("needs_proof") and not sessions.use_proof(current_user.current_session):
        db.session.rollback()
        abort(409)


def change_urls(back):
    """Return where the page of confirm_change.html sends its button, and where it leads back to."""
    return {"action": url_for(request.endpoint, **request.view_args), "back": url_for(back)}


def renew_session():
    """Give this browser's session another id, in the caller's transaction: copies of its cookie are worth nothing."""
    if not current_user.current_session:  # a token brought the user
        return
    sessions.renew(current_user.current_session)
    session["_user_id"] = current_user.get_id()
    session.pop("csrf_token", None)


def browser_id():
    """What this browser is called until it logs in or out: a passkey answers what it alone was asked."""
    return session.setdefault("browser", secrets.token_urlsafe(32))


def go_on():
    """Go to where a person was held back from, or home."""
    return redirect(safe_next(session.pop("next", None)) or url_for("main.index"))


def hold_page(owner=None):
    """Keep this page in mind, for log_in() and go_on(): not in an address, which others may see.

    If it is `owner`'s alone, nobody else will be led to it.
    """
    session["next"], session["next_for"] = _this_page(), owner and owner.id


def email_sent(email):
    """Lead to the page that says where an email went: the same page whether or not the address has an account."""
    session["email_sent_to"] = email
    return redirect(url_for("auth.email_sent"))


def codes_page(codes):
    """Show new recovery codes: here and now alone, since only their hashes are kept."""
    going = safe_next(session.pop("next", None)) or url_for("main.account")
    return render_template("auth/recovery_codes.html", codes=codes, going=going)


def is_opened_by_a_person():
    """Say whether a link was opened by somebody: not by HEAD, nor ahead of time, nor by a form without its token."""
    ahead = "prefetch" in request.headers.get("Sec-Purpose", request.headers.get("Purpose", ""))
    return request.method == "GET" and not ahead and "typed" not in g


def reauthentication_required(view):
    """Let only those in who proved lately who they are; others are asked for that first, and what they typed waits."""

    @login_required
    @wraps(view)
    def guarded(*args, **kwargs):
        return view(*args, **kwargs) if sessions.is_recent(current_user.current_session) else _reauthenticate()

    return guarded


def both_factors_required(view):
    """Require both factors for each change of a credential, if two-factor is on; if not, reauthentication.

    The proof is good for one change within five minutes: the view calls credential_changed() when it has made it.
    """
    return _both_factors_required(view, otherwise=reauthentication_required(view))


def two_factor_reauthentication_required(view):
    """Require the same as both_factors_required() if two-factor is on; if not, the view asks for the one factor."""
    return _both_factors_required(view, otherwise=view)


def _both_factors_required(view, otherwise):
    @login_required
    @wraps(view)
    def guarded(*args, **kwargs):
        if not two_factor.is_on(current_user):
            return otherwise(*args, **kwargs)
        if not sessions.may_change_credentials(current_user.current_session):
            return _reauthenticate()
        g.needs_proof = True
        return view(*args, **kwargs)

    return guarded


def _reauthenticate():
    """Ask for a proof first; the page asked for, or the form that was sent, waits."""
    if not current_user.current_session:  # a token can't prove more than it did
        abort(403)
    if request.method != "POST" or "HX-Request" in request.headers:
        going = lead_to(url_for("auth.reauthenticate"), 403)
        hold_page(current_user)
        return going
    if wants_json():
        abort(403)
    waiting = {"target": quote(request.path), "held": held_forms.fields_to_hold()}
    return render_template("auth/reauthenticate.html", **waiting, methods=two_factor.methods(current_user)), 403


@login_manager.user_loader
def load_user(session_id):
    if hasattr(current_app.view_functions.get(request.endpoint), "only_reads"):
        read_without_transaction()
    user_session = sessions.find(session_id)
    if user_session is None:
        return None
    user_session.user.current_session = user_session
    if _is_of_the_application() and (endpoint := _must_go_to(user_session.user)):
        g.held_back, g.held_session = endpoint, user_session
        return None
    return user_session.user


@login_manager.unauthorized_handler
def ask_for_login(words="Log in to open this page.", is_held=False):
    """Lead a stranger to the login form, and from there back; `is_held`: hold_page() has this page already."""
    if "held_back" in g:
        return _hold_back(g.held_back)
    going = lead_to(url_for("auth.login", next=None if is_held else _this_page()), 401)
    if "told_why" not in g:
        flash(words, "info")
    return going


@bp.before_app_request
def check_everyone():
    """Note that a session was seen; hold back those who have not confirmed their address."""
    if request.endpoint in ASKS_NOBODY:
        return None
    is_known = current_user.is_authenticated  # loads the user, and says who is held back
    user_session = current_user.current_session if is_known else g.get("held_session")
    if not is_known and not user_session:
        return _tell_why()
    if user_session and _is_noted(user_session):
        session.modified = True  # a new cookie, with a new date
    if not is_known or request.endpoint is None:
        return None
    endpoint = _must_go_to(current_user)
    return _hold_back(endpoint) if endpoint else None


def _is_of_the_application():
    """Return whether this page is an application's own: there, users who are held back are visitors."""
    return request.endpoint is not None and request.blueprint not in OUR_BLUEPRINTS


def _must_go_to(user):
    """Return the page where a user must go first, unless this page is open to them; None if there is none."""
    if user.deletion_due_at and request.endpoint not in OPEN_WHILE_DELETION_IS_PENDING:
        return "auth.cancel_deletion"
    if not user.confirmed and request.endpoint not in OPEN_TO_THE_UNCONFIRMED | OPEN_WHILE_DELETION_IS_PENDING:
        return "auth.unconfirmed"
    if request.endpoint not in OPEN_WITHOUT_TWO_FACTOR | OPEN_WHILE_DELETION_IS_PENDING and two_factor.is_missing(user):
        return "auth.two_factor"
    return None


@bp.app_context_processor
def page_context():
    """What every page may show: whether strangers can register, and where a person is going."""
    going = safe_next(request.args.get("next")) if request else None
    return {"registration_open": current_app.config["REGISTRATION_OPEN"], "next_page": going}


def _is_noted(user_session):
    """Note that this browser was seen. No page is refused because the database takes no writing now."""
    try:
        return sessions.touch(user_session)
    except OperationalError:
        if request.method not in {"GET", "HEAD"}:
            raise
        db.session.rollback()
        return False


def _hold_back(endpoint):
    """Lead to the page where a person must go first, and from there on to this one."""
    going = lead_to(url_for(endpoint), 403)
    if _this_page():
        hold_page()
    return going


def _tell_why():
    """Tell a browser that was logged out elsewhere why, once."""
    if "_user_id" not in session:
        return
    reason = sessions.revoked_reason(session["_user_id"])
    if reason is None:
        return  # it has another id by now, which an answer on its way brings: this one must not undo that
    if why := REASONS.get(reason):
        flash(why, "warning")
        g.told_why = True
    logout_user()


def _this_page():
    """The address of the page asked for, or None if coming back to it would make no sense."""
    if "HX-Request" in request.headers:  # this is a part of the page
        return _page_of_htmx()
    if request.method != "GET" or request.endpoint in NO_WAY_BACK or "typed" in g:
        return None
    return safe_next(address_asked_for())


def _page_of_htmx():
    """The page that a part was asked for on, which htmx names; None if it is none of ours."""
    address = request.headers.get("HX-Current-URL", "")
    return safe_next(address[len(request.host_url) - 1 :]) if address.startswith(request.host_url) else None
