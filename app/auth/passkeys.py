# mypy: ignore-errors
"""Passkeys, as their owner sees them; and the questions to the browser, which passkeys.js asks for and passes on."""

from flask import Response, abort, flash, redirect, request, session, url_for
from flask_login import current_user
from sqlalchemy.exc import IntegrityError
from wtforms import HiddenField, StringField
from wtforms.validators import DataRequired, Length, ValidationError

from app.accounts import passkeys, sessions, two_factor
from app.auth import access, login_flow, pages
from app.auth.blueprint import bp
from app.auth.forms import Form, confirmation_page, form_page, stripped
from app.database import is_duplicate
from app.extensions import db
from app.request_state import SessionKey
from app.security import user_agents
from app.security.rate_limits import rate_limited


class NameForm(Form):
    name = StringField(
        "Name",
        [DataRequired("Write what you call it."), Length(max=64, message="Use at most 64 characters.")],
        filters=[stripped],
        description="For you alone: say which device or password manager keeps it.",
        render_kw={"autocomplete": "off"},
    )

    def validate_name(self, field):
        if not field.data.isprintable():
            raise ValidationError("This has a character that can't be used here.")


class AddForm(NameForm):
    credential = HiddenField(validators=[DataRequired("A passkey needs JavaScript: turn it on for this page.")])


REMOVE = "It can no longer log you in, and your other devices are logged out. Delete it on the device, too: we cannot."


@bp.route("/passkeys")
@access.reauthentication_required
def list_passkeys():
    return _list_page(AddForm(name=user_agents.in_words(request.user_agent.string)))


@bp.route("/passkeys", methods=["POST"])
@access.both_factors_required
def add_passkey():
    form = AddForm()
    return (form.validate_on_submit() and _add(form)) or _list_page(form)


@bp.route("/passkeys/add")
@access.both_factors_required
def reauthenticate_to_add_passkey():
    """Lead to the form once both factors are proved: a passkey must not be made before it can be added."""
    return redirect(url_for("auth.list_passkeys"))


@bp.route("/passkeys/creation-options", methods=["POST"])
@rate_limited("passkey_options")
@access.both_factors_required
def passkey_creation_options():
    return _question(passkeys.creation_options(current_user, access.browser_id()))


@bp.route("/passkeys/request-options/<purpose>", methods=["POST"])
@rate_limited("passkey_options")
def passkey_request_options(purpose):
    asked = {"log_in": None, "two_factor": login_flow.pending_two_factor(), "reauthentication": current_user}
    if purpose not in asked:
        abort(404)
    if purpose != "log_in" and not (asked[purpose] and asked[purpose].is_authenticated):
        abort(401)
    return _question(passkeys.request_options(purpose, access.browser_id(), asked[purpose]))


@bp.route("/passkeys/<handle>", methods=["GET", "POST"])
@access.reauthentication_required
def passkey(handle):
    found = passkeys.one_of(current_user, handle) or abort(404)
    form = NameForm(name=found.name)
    if form.validate_on_submit():
        passkeys.rename(found, form.name.data)
        db.session.commit()
        flash(f"It is called {form.name.data} now.", "success")
        return redirect(url_for("auth.list_passkeys"))
    return form_page("auth/passkey.html", form, passkey=found)


@bp.route("/passkeys/<handle>/remove", methods=["GET", "POST"])
@access.both_factors_required
def remove_passkey(handle):
    found = passkeys.one_of(current_user, handle) or abort(404)
    name, credential_id = found.name, found.credential_id
    if not Form().validate_on_submit():
        page = {"title": f"Remove {name}?", "words": REMOVE, "button": "Remove this passkey"}
        return confirmation_page("auth.list_passkeys", **page)
    if passkeys.remove(found, current_user.current_session):
        access.credential_changed()
        session[SessionKey.REMOVED_PASSKEY] = credential_id
        db.session.commit()
        flash(f"{name} is removed. Your other devices were logged out.", "success")
    else:
        flash("Your account was changed elsewhere at this moment. Look it over and try again.", "warning")
    return redirect(url_for("auth.list_passkeys"))


def _list_page(form):
    """Show the passkeys; the form to add one is there where it could be sent."""
    found = passkeys.all_of(current_user)
    removed = session.pop(SessionKey.REMOVED_PASSKEY, None)  # in this browser, a moment ago
    state = {"accepted": passkeys.accepted(current_user, found, removed), "removed": removed}
    can_add = not two_factor.is_on(current_user) or sessions.may_change_credentials(current_user.current_session)
    return form_page("auth/passkeys.html", form, passkeys=found, can_add=can_add, **state)


def _add(form):
    """Add the passkey, and answer with the recovery codes if it is the first factor; None if it can't be added."""
    try:
        codes = passkeys.add(
            current_user, access.browser_id(), form.credential.data, form.name.data, current_user.current_session
        )
    except IntegrityError as error:  # somebody has it
        db.session.rollback()
        if not is_duplicate(error):
            raise
        form.form_errors.append("This passkey is in use already. Make another one.")
        return None
    except ValueError as error:
        db.session.commit()  # its challenge is used up
        form.form_errors.append(str(error))
        return None
    access.credential_changed()
    db.session.commit()
    flash(f"{form.name.data} is a passkey of yours now. Your other browsers were logged out.", "success")
    return pages.codes_page(codes) if codes else redirect(url_for("auth.list_passkeys"))


def _question(options):
    """What passkeys.js passes on to the browser."""
    db.session.commit()
    return Response(options, mimetype="application/json")
