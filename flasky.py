"""The application that `flask` and the WSGI server load: `flasky:app`."""

import os
import sys
from pathlib import Path

from settings import failed_start
from settings.environment import ConfigError

IS_GUNICORN = os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn")
GUNICORN_BOOT_ERROR = 3  # a worker's exit status that stops the server; after any other it starts the next worker

try:
    from app import create_app

    app = create_app()
except Exception as error:
    if failed_start.is_doctor_called(sys.argv[1:]):
        app = failed_start.doctor_only(error)
    elif isinstance(error, ConfigError):
        print(error, file=sys.stderr)
        sys.exit(GUNICORN_BOOT_ERROR if IS_GUNICORN else 1)
    else:
        raise

if IS_GUNICORN and not os.environ.get("GUNICORN_CONF"):
    configuration = Path(__file__).resolve().with_name("gunicorn.conf.py")
    app.logger.warning(
        "gunicorn.conf.py was not loaded: this server takes its processes, threads and address from its command line "
        f"alone. Start it with: gunicorn -c {configuration} flasky:app"
    )
