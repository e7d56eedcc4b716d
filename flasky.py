"""What `flask` and the WSGI server load: `flasky:app`."""

import sys

from app import create_app
from config import ConfigError

try:
    app = create_app()
except ConfigError as error:
    sys.exit(str(error))
