"""What `flask` and the WSGI server load: `flasky:app`."""

import os
import sys
from pathlib import Path

from app import create_app
from app.cli import failed_start
from settings.environment import ConfigError

try:
    app = create_app()
except Exception as error:
    if failed_start.is_doctor_called(sys.argv[1:]):
        app = failed_start.only_doctor(error)
    elif isinstance(error, ConfigError):
        sys.exit(str(error))
    else:
        raise

if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn") and not os.environ.get("GUNICORN_CONF"):
    configuration = Path(__file__).resolve().with_name("gunicorn.conf.py")
    app.logger.warning(
        "gunicorn.conf.py was not loaded: this server has the number of processes and threads, and the address, that "
        f"its command line says. Start it with: gunicorn -c {configuration} flasky:app"
    )
