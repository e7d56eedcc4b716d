"""The navigation of the settings. Add your own page to it with SETTINGS_PAGES.append(SettingsPage(…))."""

from typing import NamedTuple

from flask import current_app, request

from app import switches
from app.auth.blueprint import bp


class SettingsPage(NamedTuple):
    endpoint: str
    icon: str  # the name of a file in app/templates/icons, without .svg
    title: str


SETTINGS_PAGES = [
    SettingsPage("main.account", "user", "Profile"),
    SettingsPage("auth.login_methods", "key", "Password and login"),
    SettingsPage("auth.two_factor", "shield", "Two-factor authentication"),
    SettingsPage("auth.devices", "computer", "Devices"),
    SettingsPage("auth.connections", "link", "Connected accounts"),
    SettingsPage("auth.history", "history", "Security history"),
    SettingsPage("auth.export", "download", "Your data"),
]


@bp.app_template_global("settings_pages")
def shown(current: str) -> list[SettingsPage]:
    """Return the pages of the navigation: connected accounts only with a provider, or on their own pages."""
    hidden = set() if current_app.config["OIDC_PROVIDERS"] else {"auth.connections"} - {current, request.endpoint}
    pages = [page for page in SETTINGS_PAGES if page.endpoint in current_app.view_functions.keys() - hidden]
    if not switches.is_on("password"):
        pages = [SettingsPage(*page[:2], page.title.replace("Password and login", "Login")) for page in pages]
    return pages
