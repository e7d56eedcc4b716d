"""Personal data: the page to download all data about the user, as a zip file of JSON."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from flask import Response, render_template, stream_with_context
from flask.typing import ResponseReturnValue
from flask_login import current_user

from app.accounts import personal_data
from app.auth import access
from app.auth.blueprint import bp
from app.auth.forms import Form
from app.extensions import db
from app.models import AuditAction, User
from app.security import audit


@bp.route("/export", methods=["GET", "POST"])
@access.reauthentication_required
def export() -> ResponseReturnValue:
    if not Form().validate_on_submit():
        return render_template("auth/export.html", names=personal_data.descriptions())
    audit.record(current_user, AuditAction.EXPORTED)
    db.session.commit()
    return download(current_user.id)


def download(user_id: int) -> Response:
    """Return the response with all data about a user."""
    user = db.session.get_one(User, user_id)  # current_user is not available while the response is sent
    headers = {"Content-Disposition": 'attachment; filename="account.zip"', "Cache-Control": "no-store"}
    return Response(stream_with_context(_zip(user)), mimetype="application/zip", headers=headers)


def _zip(user: User) -> Iterator[bytes]:
    """Yield a zip file with one JSON file per table, without keeping all of it in memory."""
    buffer = _Buffer()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for model in personal_data.registered:
            with archive.open(f"{personal_data.table_of(model).name}.json", "w") as file:
                for text in personal_data.as_json(user, model):
                    file.write(text.encode(errors="backslashreplace"))
                    yield buffer.take()
    yield buffer.take()


class _Buffer(io.RawIOBase):
    """Collects written bytes until take() returns them."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.content += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self.content)
        self.content.clear()
        return taken
