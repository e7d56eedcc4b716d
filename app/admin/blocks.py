"""Blocks: addresses, domains and networks that may not register, since when and why; add and remove."""

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_login import current_user
from sqlalchemy import select
from wtforms import IntegerField
from wtforms.validators import DataRequired, NumberRange, Optional

from app import keyset
from app.accounts import blocks as service
from app.admin.blueprint import bp, confirm, query
from app.auth.forms import Form, MaxLength, TextField, stripped
from app.extensions import db
from app.languages import isolated
from app.models import Block, User

BY_COMMAND = _l("To block it anyway, use the command line: flask users block.")
DAYS = _l("Enter a number from 1 to %(most)d.", most=service.MAX_DAYS)


class BlockForm(Form):
    subject = TextField(
        _l("Address, domain or network"),
        [DataRequired(_l("Enter what to block.")), MaxLength(254)],
        filters=[stripped],
        description=_l("Such as eve@example.com, example.com with its subdomains, or 192.0.2.0/24."),
        render_kw={"autocapitalize": "none", "spellcheck": "false", "autocomplete": "off"},
    )
    reason = TextField(
        _l("Reason"),
        description=_l("Only administrators see it."),
        validators=[DataRequired(_l("Enter a reason.")), MaxLength(500)],
        filters=[stripped],
    )
    days = IntegerField(
        _l("Days"),
        [Optional(), NumberRange(1, service.MAX_DAYS, DAYS)],
        description=_l("Leave it empty to block for good."),
    )


@bp.route("/blocks", methods=["GET", "POST"])
def blocks() -> ResponseReturnValue:
    form = BlockForm()
    if form.validate_on_submit() and _add(form):
        return redirect(url_for("admin.blocks"))
    found = keyset.page(select(Block), [Block.id], request.args.get("older", ""), request.args.get("newer", ""))
    by = select(User).where(User.id.in_({block.created_by_id for block in found.rows}))
    names = {user.id: user.known_as for user in db.session.scalars(by)}
    return render_template("admin/blocks.html", form=form, page=found, names=names), 422 if form.errors else 200


@bp.route("/blocks/<int:number>/remove", methods=["GET", "POST"])
def remove_block(number: int) -> ResponseReturnValue:
    found, back = db.session.get(Block, number) or abort(404), url_for("admin.blocks") + query()
    subject = found.subject
    if request.method == "GET":
        title, words = (
            _("Unblock %(subject)s?", subject=isolated(subject)),
            _("It was blocked for this reason: %(reason)s", reason=found.reason),
        )
        return confirm(title, words, _("Unblock"), back)
    service.remove(subject)
    db.session.commit()
    flash(_("%(subject)s is no longer blocked.", subject=isolated(subject)), "success")
    return redirect(back)


def _add(form: BlockForm) -> bool:
    """Block what the form names, unless that could keep everybody or an administrator out."""
    try:
        ends_at, by = service.end_after(form.days.data), current_user
        if objection := service.objection(form.subject.data):
            raise ValueError(f"{objection} {BY_COMMAND}")
        subject = service.add(form.subject.data, form.reason.data, ends_at, by)
    except ValueError as error:
        form.subject.errors = [str(error)]
        return False
    db.session.commit()
    flash(_("%(subject)s is blocked.", subject=isolated(subject)), "success")
    return True
