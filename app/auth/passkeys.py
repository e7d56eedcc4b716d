"""Passkeys: the pages to manage them, and the options that passkeys.js passes to the browser."""

from flask import Response, abort, flash, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user, login_required
from sqlalchemy.exc import IntegrityError
from wtforms import HiddenField, StringField
from wtforms.validators import DataRequired, Length, ValidationError

from app.accounts import passkeys, sessions, two_factor
from app.auth import access, login_flow, passkey_offer
from app.auth.blueprint import bp
from app.auth.forms import Form, confirmation_page, form_page, stripped
from app.database import is_duplicate
from app.extensions import db
from app.languages import isolated
from app.models import Passkey
from app.request_state import SessionKey
from app.security import user_agents
from app.security.rate_limits import rate_limited
from app.web import cookies
from app.web.own_urls import safe_next_url

REMOVE = _l(
    "You'll no longer be able to log in with it, and your other devices will be logged out. "
    "Also delete it from your device or password manager. We can't do that for you."
)
REMOVE_LAST = _l(
    "This is your last passkey, so you'll no longer need one to log in. Two-factor authentication will be "
    "turned off unless you use an authenticator app. You'll no longer be able to log in with it, and your "
    "other devices will be logged out. Also delete it from your device or password manager. We can't do that for you."
)
# The marks of direction and the joiners of several scripts and of emoji. str.isprintable() refuses them.
MARKS = str.maketrans(dict.fromkeys("\u061c\u200c\u200d\u200e\u200f"))


class NameForm(Form):
    name = StringField(
        _l("Name"),
        [DataRequired(_l("Enter a name.")), Length(max=64, message=_l("Use at most 64 characters."))],
        filters=[stripped],
        description=_l("Name it after the device or password manager that stores it. Only you see the name."),
        render_kw={"autocomplete": "off"},
    )

    def validate_name(self, field: StringField) -> None:
        visible = (field.data or "").translate(MARKS)
        if not visible.isprintable():
            raise ValidationError(_("This contains a character that can't be used here."))
        if not visible.strip():
            raise ValidationError(_("Enter a name."))


class AddForm(NameForm):
    credential = HiddenField(
        validators=[DataRequired(_l("Passkeys need JavaScript. Turn it on for this page, then try again."))]
    )
    quietly = HiddenField()  # the browser created it without asking, by conditional mediation


@bp.route("/passkeys")
@access.reauthentication_required
def list_passkeys() -> ResponseReturnValue:
    return _list_page(AddForm(name=user_agents.in_words(request.user_agent.string)))


@bp.route("/passkeys", methods=["POST"])
@access.both_factors_required
def add_passkey() -> ResponseReturnValue:
    form = AddForm()
    if not form.validate_on_submit() or not _register(form):
        return _list_page(form)
    access.credential_changed()
    db.session.commit()
    name = isolated(form.name.data)
    flash(_("The passkey %(name)s was added. You can now log in with it.", name=name), "success")
    default = "auth.two_factor" if two_factor.is_missing(current_user) else "auth.list_passkeys"
    return redirect(safe_next_url(request.args.get("next")) or url_for(default))


@bp.route("/passkeys/add")
@access.both_factors_required
def reauthenticate_to_add_passkey() -> ResponseReturnValue:
    """Redirect to the form after both factors are proved, since no passkey may be created before it can be added."""
    return redirect(url_for("auth.list_passkeys"))


@bp.route("/passkeys/creation-options", methods=["POST"])
@rate_limited("passkey_options")
@access.both_factors_required
def passkey_creation_options() -> ResponseReturnValue:
    return _json(passkeys.creation_options(current_user, access.browser_id(), "quietly" in request.args))


@bp.route("/passkeys/request-options/<purpose>", methods=["POST"])
@rate_limited("passkey_options")
def passkey_request_options(purpose: str) -> ResponseReturnValue:
    asked = {"log_in": None, "two_factor": login_flow.pending_two_factor(), "reauthentication": current_user}
    if purpose not in asked:
        abort(404)
    user = asked[purpose]
    if purpose != "log_in" and not (user and user.is_authenticated):
        abort(401)
    return _json(passkeys.request_options(purpose, access.browser_id(), user))


@bp.route("/passkeys/not-now", methods=["POST"])
@login_required
def decline_passkey() -> ResponseReturnValue:
    """Keep the offer of a passkey away from this browser for a while."""
    response = redirect(safe_next_url(request.form.get("next")) or url_for("main.index"))
    cookies.remember(response, "OFFER_COOKIE_NAME", "declined", passkey_offer.NOT_NOW)
    return response


@bp.route("/passkeys/<handle>", methods=["GET", "POST"])
@access.reauthentication_required
def passkey(handle: str) -> ResponseReturnValue:
    found = passkeys.one_of(current_user, handle) or abort(404)
    form = NameForm(name=found.name)
    if form.validate_on_submit():
        passkeys.rename(found, form.name.data or "")
        db.session.commit()
        flash(_("The passkey is now called %(name)s.", name=isolated(form.name.data)), "success")
        return redirect(url_for("auth.list_passkeys"))
    return form_page("auth/passkey.html", form, passkey=found, ends_requirement=_ends_requirement())


@bp.route("/passkeys/<handle>/remove", methods=["GET", "POST"])
@access.both_factors_required
def remove_passkey(handle: str) -> ResponseReturnValue:
    found = passkeys.one_of(current_user, handle) or abort(404)
    if passkeys.is_only_login(current_user):
        flash(_("This is your only way to log in. Add another passkey before you remove this one."), "warning")
        return redirect(url_for("auth.list_passkeys"))
    name, credential_id = found.name, found.credential_id
    if not Form().validate_on_submit():
        return _confirm_removal(found)
    if not passkeys.remove(found, current_user.current_session):
        flash(str(passkeys.CHANGED), "warning")
        return redirect(url_for("auth.list_passkeys"))
    access.credential_changed()
    session[SessionKey.REMOVED_PASSKEY] = credential_id
    db.session.commit()
    flash(_("The passkey %(name)s was removed. Your other devices were logged out.", name=isolated(name)), "success")
    return redirect(url_for("auth.list_passkeys"))


def _list_page(form: AddForm) -> ResponseReturnValue:
    """Show the passkeys, and the form that adds one if it would be accepted."""
    found = passkeys.all_of(current_user)
    removed = session.pop(SessionKey.REMOVED_PASSKEY, None)
    state = {"accepted": passkeys.accepted(current_user, found, removed), "removed": removed}
    can_add = not two_factor.is_on(current_user) or sessions.may_change_credentials(current_user.current_session)
    return form_page("auth/passkeys.html", form, passkeys=found, can_add=can_add, **state)


def _register(form: AddForm) -> bool:
    """Add the passkey; return False and add an error to the form if it is refused."""
    try:
        answer, name = form.credential.data or "", form.name.data or ""
        passkeys.register(current_user, access.browser_id(), answer, name, bool(form.quietly.data))
    except IntegrityError as error:
        db.session.rollback()
        if not is_duplicate(error):
            raise
        form.form_errors.append(str(passkeys.IN_USE))
        return False
    except ValueError as error:
        db.session.commit()
        form.form_errors.append(str(error))
        return False
    return True


def _confirm_removal(found: Passkey) -> ResponseReturnValue:
    words = REMOVE_LAST if _ends_requirement() else REMOVE
    title = _("Remove %(name)s?", name=isolated(found.name))
    return confirmation_page("auth.list_passkeys", title, words, _("Remove passkey"))


def _ends_requirement() -> bool:
    """Return whether the user requires a passkey after the password, and has only one."""
    return len(passkeys.all_of(current_user)) == 1 and two_factor.passkey_requirement(current_user) is not None


def _json(options: str) -> Response:
    db.session.commit()
    return Response(options, mimetype="application/json")
