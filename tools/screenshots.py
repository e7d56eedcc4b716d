"""Take the screenshots of the README and the docs: `make screenshots`, or with a folder as the argument.

A user logs in on three devices, so that the pages show what a real account does.
"""

import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask_migrate import upgrade
from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import make_server

from app import create_app
from app.extensions import db
from app.models import User

FOLDER = Path(__file__).parent.parent / "docs/images"
PASSWORD = "staple battery correct"  # noqa: S105 - of an account that lives for a minute
DESKTOP, PHONE = {"width": 1200, "height": 760}, {"width": 390, "height": 760}
DEVICES = {
    "iPhone": "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/26.1 Mobile/15E148 Safari/604.1",
    "iPad": "Mozilla/5.0 (iPad; CPU OS 26_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/142.0.7444.77"
    " Mobile/15E148 Safari/604.1",
    "Linux": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
}
PICTURES = [  # name, path, colour scheme, window; None for a visitor
    ("login", None, "/auth/login", "light", DESKTOP),
    ("settings", "Linux", "/auth/devices", "light", DESKTOP),
    ("history", "Linux", "/auth/history", "dark", DESKTOP),
    ("phone", "Linux", "/auth/login-methods", "dark", PHONE),
]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    found = shutil.which("chromium-headless-shell")
    with served() as url, sync_playwright() as library:
        browser = library.chromium.launch(**({"executable_path": found, "args": ["--no-sandbox"]} if found else {}))
        pages = {name: log_in(browser, url, agent) for name, agent in DEVICES.items()}
        visitor = browser.new_context(base_url=url).new_page()
        for name, device, path, scheme, size in PICTURES:
            page = pages[device] if device else visitor
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size(size)
            page.goto(path)
            page.screenshot(path=folder / f"{name}.png")
        browser.close()


@contextmanager
def served() -> Iterator[str]:
    """Serve the application with an account of its own; yield its URL."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "SECRET_KEY": "only for the screenshots",
            "SQLALCHEMY_DATABASE_URI": f"sqlite:///{folder}/screenshots.db",
            "MAILBOX": f"{folder}/mailbox",
            "MAIL_DELIVERY": "off",
        }
        app = create_app("development", **settings)
        with app.app_context():
            upgrade()
            db.session.add(User(email="grace@example.com", username="grace", password=PASSWORD, confirmed=True))
            db.session.commit()
        server = make_server("localhost", 0, app, threaded=True)
        app.config["PUBLIC_URL"] = f"http://localhost:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield app.config["PUBLIC_URL"]
        server.shutdown()
        server.server_close()


def log_in(browser: Browser, url: str, user_agent: str) -> Page:
    """Log in on a device of its own, at the second attempt."""
    page = browser.new_context(base_url=url, user_agent=user_agent).new_page()
    page.goto("/auth/login")
    for password in ("wrong", PASSWORD):
        page.locator("#login").fill("grace")
        page.locator("#password").fill(password)
        page.locator("#password").press("Enter")
        page.wait_for_load_state()
    page.locator("header summary").wait_for()
    return page


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
