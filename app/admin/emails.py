"""The outbox: which emails wait, have failed or were sent, and the delivery rate of each receiving domain."""

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import lazy_pgettext, ngettext
from wtforms import Field, SelectField, ValidationError

from app import keyset
from app.admin.blueprint import bp, choices, confirm, query
from app.auth.forms import Form, TextField, stripped
from app.email import outbox, reports
from app.email.smtp_answers import explain
from app.extensions import db
from app.languages import isolated
from app.models import AuditAction, OutboxEmail
from app.models.outbox_email import Status
from app.security import audit

STATES = {
    Status.WAITING: lazy_pgettext("email", "Waiting"),
    Status.FAILED: lazy_pgettext("email", "Failed"),
    Status.SENT: lazy_pgettext("email", "Sent"),
    Status.OBSOLETE: lazy_pgettext("email", "Dropped"),
    Status.BOUNCED: lazy_pgettext("email", "Came back"),
    Status.COMPLAINED: lazy_pgettext("email", "Reported as spam"),
    Status.STOPPED: lazy_pgettext("email", "Stopped"),
}


class EmailFilter(Form):
    state = SelectField(_l("State"), choices=choices(_l("All states"), STATES), default="")
    template = SelectField(
        _l("Template"), choices=lambda: choices(_l("All templates"), reports.templates()), default=""
    )
    to = TextField(_l("Recipient or @domain"), filters=[stripped])

    def validate_to(self, field: Field) -> None:
        try:
            reports.search(recipient=field.data)
        except ValueError as error:
            raise ValidationError(_("Enter an email address, or @ and a domain.")) from error


@bp.route("/emails")
def emails() -> ResponseReturnValue:
    form = EmailFilter(request.args)
    found = keyset.Page([], "", "")
    if form.validate():
        rows = reports.search(form.state.data, form.template.data, form.to.data)
        found = keyset.page(rows, [OutboxEmail.id], request.args.get("older", ""), request.args.get("newer", ""))
    words = {"states": STATES, "explain": explain, "label": reports.label, "unsent": outbox.UNSENT}
    return render_template("admin/emails.html", form=form, page=found, **words)


@bp.route("/emails/domains")
def email_domains() -> ResponseReturnValue:
    return render_template("admin/email_domains.html", domains=reports.by_domain())


@bp.route("/emails/retry", methods=["GET", "POST"])
def retry_emails() -> ResponseReturnValue:
    if request.method == "GET":
        words = _("All emails that are waiting or have failed are retried now. Outdated emails are dropped.")
        return confirm(_("Retry all unsent emails?"), words, _("Retry all"), back(), "btn-primary")
    audit.record(None, AuditAction.EMAILS_RETRIED)
    return _retried(outbox.retry())


@bp.route("/emails/<wide_int:number>/retry", methods=["GET", "POST"])
def retry_email(number: int) -> ResponseReturnValue:
    if request.method == "GET":
        words = _("The email to %(email)s is retried now.", email=isolated(_unsent(number).recipient))
        return confirm(_("Retry this email?"), words, _("Retry email"), back(), "btn-primary")
    return _retried(outbox.retry(number))


@bp.route("/emails/<wide_int:number>/drop", methods=["GET", "POST"])
def drop_email(number: int) -> ResponseReturnValue:
    if request.method == "GET":
        words = _(
            "The email to %(email)s won't be sent. The security history will say so.", email=_unsent(number).recipient
        )
        return confirm(_("Drop this email?"), words, _("Drop email"), back())
    return _done(outbox.drop_one(number), _("1 email was dropped."))


def back() -> str:
    """Return the URL of the list with the filter that this page was opened from."""
    return url_for("admin.emails") + query()


def _unsent(number: int) -> OutboxEmail:
    email = db.session.get(OutboxEmail, number)
    return email if email and email.status in outbox.UNSENT else abort(404)


def _retried(count: int) -> ResponseReturnValue:
    return _done(count, ngettext("%(num)d email will be retried.", "%(num)d emails will be retried.", count))


def _done(count: int, done: str) -> ResponseReturnValue:
    db.session.commit()
    flash(done if count else _("The email was sent or dropped in the meantime."), "success" if count else "info")
    return redirect(back())
