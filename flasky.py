"""What `flask` and the WSGI server load: `flasky:app`."""

import sys

from app import create_app, models
from app.extensions import db
from config import ConfigError

try:
    app = create_app()
except ConfigError as error:
    sys.exit(str(error))


@app.shell_context_processor
def shell_context():
    return {"db": db} | {name: getattr(models, name) for name in models.__all__}
