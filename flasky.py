"""What `flask` and the WSGI server load: `flasky:app`."""

import sys

from app import create_app
from app.cli import unstarted
from config import ConfigError

try:
    app = create_app()
except Exception as error:
    if unstarted.is_doctor_called(sys.argv[1:]):
        app = unstarted.only_doctor(error)
    elif isinstance(error, ConfigError):
        sys.exit(str(error))
    else:
        raise
