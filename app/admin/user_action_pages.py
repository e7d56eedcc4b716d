"""Actions on one account: each has a page that asks first."""

from flask import abort, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from app.accounts import personal_data
from app.admin import user_actions
from app.admin.blueprint import bp, confirm
from app.admin.user_actions import ActionForm, UserAction
from app.admin.users import find
from app.auth.forms import form_page
from app.auth.personal_data import download
from app.extensions import db
from app.models import AuditAction, User
from app.security import audit


@bp.route("/users/<int:number>/<action>", methods=["GET", "POST"])
def user_action(number: int, action: str) -> ResponseReturnValue:
    chosen, user = user_actions.ACTIONS.get(action) or abort(404), find(number)
    form = chosen.form(obj=user, seen=user_actions.state_of(user))
    if request.method == "POST" and not user_actions.is_unchanged(user, request.form.get("seen")):
        return _back(number, _("This account has changed since you opened the page. Nothing was done."), "warning")
    if not user_actions.is_permitted(user):
        return _back(number, _("This account has permissions that you don't have, so you can't change it."), "warning")
    if user == current_user or action not in user_actions.possible(user):
        return _back(number, _("That can't be done with this account now."), "warning")
    if form.validate_on_submit() and _is_done(chosen, user, form):
        return _back(number, _("%(action)s: done.", action=chosen.button))
    return form_page("admin/user_action.html", form, user=user, action=chosen)


@bp.route("/users/<int:number>/export", methods=["GET", "POST"])
def export_user(number: int) -> ResponseReturnValue:
    user = find(number)
    if request.method == "GET":
        words = _(
            "The file has everything that is stored about %(user)s. Their history shows the download.",
            user=user.name_and_email,
        )
        return confirm(
            _("Download data"), words, _("Download data"), url_for("admin.user", number=number), "btn-primary"
        )
    audit.record(user, AuditAction.EXPORTED)
    db.session.commit()
    return download(number)


def _is_done(action: UserAction, user: User, form: ActionForm) -> bool:
    try:
        action.act(user, *form.values())
        db.session.commit()
    except (ValueError, personal_data.Undeletable) as error:
        db.session.rollback()
        form.form_errors.append(str(error))
        return False
    return True


def _back(number: int, words: str, category: str = "success") -> ResponseReturnValue:
    flash(words, category)
    is_there = db.session.get(User, number) is not None
    return redirect(url_for("admin.user", number=number) if is_there else url_for("admin.users"))
