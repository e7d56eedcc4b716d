"""The outbox: which emails wait, have failed or were sent, and the delivery rate of each receiving domain."""

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from wtforms import Field, SelectField, ValidationError

from app import keyset
from app.admin.blueprint import bp, choices, confirm, query
from app.auth.forms import Form, TextField, stripped
from app.email import outbox, reports
from app.email.smtp_answers import explain
from app.extensions import db
from app.models import AuditAction, OutboxEmail
from app.models.outbox_email import Status
from app.security import audit

STATES = {Status.WAITING: "Waiting", Status.FAILED: "Failed", Status.SENT: "Sent", Status.OBSOLETE: "Dropped"}
STATES |= {Status.BOUNCED: "Came back", Status.COMPLAINED: "Reported as spam", Status.STOPPED: "Stopped"}


class EmailFilter(Form):
    state = SelectField("State", choices=choices("All states", STATES), default="")
    template = SelectField("Template", choices=lambda: choices("All templates", reports.templates()), default="")
    to = TextField("Recipient or @domain", filters=[stripped])

    def validate_to(self, field: Field) -> None:
        try:
            reports.search(recipient=field.data)
        except ValueError as error:
            raise ValidationError("Enter an email address, or @ and a domain.") from error


@bp.route("/emails")
def emails() -> ResponseReturnValue:
    form = EmailFilter(request.args)
    found = keyset.Page([], "", "")
    if form.validate():
        rows = reports.search(form.state.data, form.template.data, form.to.data)
        found = keyset.page(rows, [OutboxEmail.id], request.args.get("older", ""), request.args.get("newer", ""))
    words = {"states": STATES, "explain": explain, "unsent": outbox.UNSENT}
    return render_template("admin/emails.html", form=form, page=found, **words)


@bp.route("/emails/domains")
def email_domains() -> ResponseReturnValue:
    return render_template("admin/email_domains.html", domains=reports.by_domain())


@bp.route("/emails/retry", methods=["GET", "POST"])
def retry_emails() -> ResponseReturnValue:
    if request.method == "GET":
        words = "All emails that are waiting or have failed are retried now. Outdated emails are dropped."
        return confirm("Retry all unsent emails?", words, "Retry all", back(), "btn-primary")
    audit.record(None, AuditAction.EMAILS_RETRIED)
    return _done(outbox.retry(), "will be retried")


@bp.route("/emails/<int:number>/retry", methods=["GET", "POST"])
def retry_email(number: int) -> ResponseReturnValue:
    if request.method == "GET":
        words = f"The email to {_unsent(number).recipient} is retried now."
        return confirm("Retry this email?", words, "Retry email", back(), "btn-primary")
    return _done(outbox.retry(number), "will be retried")


@bp.route("/emails/<int:number>/drop", methods=["GET", "POST"])
def drop_email(number: int) -> ResponseReturnValue:
    if request.method == "GET":
        words = f"The email to {_unsent(number).recipient} won't be sent. The security history will say so."
        return confirm("Drop this email?", words, "Drop email", back())
    return _done(outbox.drop_one(number), "was dropped")


def back() -> str:
    """Return the URL of the list with the filter that this page was opened from."""
    return url_for("admin.emails") + query()


def _unsent(number: int) -> OutboxEmail:
    email = db.session.get(OutboxEmail, number)
    return email if email and email.status in outbox.UNSENT else abort(404)


def _done(count: int, words: str) -> ResponseReturnValue:
    db.session.commit()
    noun = "1 email" if count == 1 else f"{count} emails"
    done = f"{noun} {words}." if count else "The email was sent or dropped in the meantime."
    flash(done, "success" if count else "info")
    return redirect(back())
