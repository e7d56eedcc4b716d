# mypy: ignore-errors
"""Pages that several capabilities lead to."""

from flask import redirect, render_template, request, session, url_for

from app.auth.next_url import safe_next_url


def change_urls(back):
    """Return where the page of confirm_change.html sends its button, and where it leads back to."""
    return {"action": url_for(request.endpoint, **request.view_args), "back": url_for(back)}


def redirect_to_email_sent(email):
    """Lead to the page that says where an email went: the same page whether or not the address has an account."""
    session["email_sent_to"] = email
    return redirect(url_for("auth.email_sent"))


def codes_page(codes):
    """Show new recovery codes: here and now alone, since only their hashes are kept."""
    going = safe_next_url(session.pop("next", None)) or url_for("main.account")
    return render_template("auth/recovery_codes.html", codes=codes, going=going)
