"""Say whether the migrations make what the models describe (`flask db check` on a database of its own)."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from flask_migrate import check, upgrade  # noqa: E402

from app import create_app  # noqa: E402

with tempfile.TemporaryDirectory() as folder:
    app = create_app("testing", SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder}/check.db")
    with app.app_context():
        upgrade()
        check()
