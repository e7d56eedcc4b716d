"""Passkeys, as their owner sees them; and the questions to the browser, which passkeys.js asks for and passes on."""

from flask import Response, abort, flash, redirect, render_template, request, session, url_for
from flask_login import current_user
from sqlalchemy.exc import IntegrityError
from wtforms import HiddenField, StringField
from wtforms.validators import DataRequired, Length, ValidationError

from app import browsers
from app.accounts import passkeys
from app.auth import gate
from app.auth.blueprint import bp
from app.auth.fields import Form, form_page, stripped
from app.extensions import db
from app.limits import limited


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


@bp.route("/passkeys", methods=["GET", "POST"])
@gate.recent_login_required
def list_passkeys():
    form = AddForm(name=browsers.in_words(request.user_agent.string))
    if form.validate_on_submit() and (answer := _add(form)):
        return answer
    found = passkeys.all_of(current_user)
    state = {"accepted": passkeys.accepted(current_user, found), "removed": session.pop("removed_passkey", None)}
    return form_page("auth/passkeys.html", form, passkeys=found, **state)


@bp.route("/passkeys/creation-options", methods=["POST"])
@limited("passkey_options")
@gate.recent_login_required
def passkey_creation_options():
    return _question(passkeys.creation_options(current_user, gate.browser_id()))


@bp.route("/passkeys/request-options/<purpose>", methods=["POST"])
@limited("passkey_options")
def passkey_request_options(purpose):
    asked = {"sign_in": None, "second_step": gate.second_step(), "recent_login": current_user}
    if purpose not in asked:
        abort(404)
    if purpose != "sign_in" and not (asked[purpose] and asked[purpose].is_authenticated):
        abort(401)
    return _question(passkeys.request_options(purpose, gate.browser_id(), asked[purpose]))


@bp.route("/passkeys/<handle>", methods=["GET", "POST"])
@gate.recent_login_required
def passkey(handle):
    found = passkeys.one_of(current_user, handle) or abort(404)
    form = NameForm(name=found.name)
    if form.validate_on_submit():
        passkeys.rename(found, form.name.data)
        db.session.commit()
        flash(f"It is called {form.name.data} now.", "success")
        return redirect(url_for("auth.list_passkeys"))
    return form_page("auth/passkey.html", form, passkey=found)


@bp.route("/passkeys/<handle>/remove", methods=["POST"])
@gate.recent_login_required
def remove_passkey(handle):
    found = passkeys.one_of(current_user, handle) or abort(404)
    name, credential_id = found.name, found.credential_id
    if passkeys.remove(found, current_user.current_session):
        gate.renew_session()
        session["removed_passkey"] = credential_id
        db.session.commit()
        flash(f"{name} lets nobody in any more. Your other browsers were logged out.", "success")
    else:
        flash("Your account was changed elsewhere at this moment. Look it over and try again.", "warning")
    return redirect(url_for("auth.list_passkeys"))


@bp.route("/undo-passkey/<token>", methods=["GET", "POST"])
def undo_passkey(token):
    found, form = passkeys.find_to_undo(token), Form()
    if not found:
        return gate.unusable_link()
    if not form.validate_on_submit():
        return render_template("auth/undo_passkey.html", passkey=found, token=token)
    email = found.user.email
    if not passkeys.undo(found):
        return gate.unusable_link()
    db.session.commit()
    return gate.letter_sent(email)


def _add(form):
    """Add the passkey, and answer with the recovery codes if it is the first factor; None if it can't be added."""
    try:
        codes = passkeys.add(
            current_user, gate.browser_id(), form.credential.data, form.name.data, current_user.current_session
        )
    except IntegrityError:  # somebody has it
        db.session.rollback()
        form.form_errors.append("This passkey is in use already. Make another one.")
        return None
    except ValueError as error:
        db.session.commit()  # its challenge is used up
        form.form_errors.append(str(error))
        return None
    gate.renew_session()
    db.session.commit()
    flash(f"{form.name.data} is a passkey of yours now. Your other browsers were logged out.", "success")
    return gate.codes_page(codes) if codes else redirect(url_for("auth.list_passkeys"))


def _question(options):
    """What passkeys.js passes on to the browser."""
    db.session.commit()
    return Response(options, mimetype="application/json")
