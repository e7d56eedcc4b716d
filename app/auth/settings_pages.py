"""The navigation of the settings. Add your own page to it with SETTINGS_PAGES.append(SettingsPage(…))."""

from typing import NamedTuple

from flask import current_app, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from app import switches
from app.auth.blueprint import bp


class SettingsPage(NamedTuple):
    endpoint: str
    icon: str  # the name of a file in app/templates/icons, without .svg
    title: str


PASSWORD_AND_LOGIN = _l("Password and login")
SETTINGS_PAGES = [
    SettingsPage("main.account", "user", _l("Profile")),
    SettingsPage("auth.login_methods", "key", PASSWORD_AND_LOGIN),
    SettingsPage("auth.two_factor", "shield", _l("Two-factor authentication")),
    SettingsPage("auth.devices", "computer", _l("Devices")),
    SettingsPage("auth.connections", "link", _l("Connected accounts")),
    SettingsPage("auth.history", "history", _l("Security history")),
    SettingsPage("auth.export", "download", _l("Your data")),
]


@bp.app_template_global("settings_pages")
def shown(current: str) -> list[SettingsPage]:
    """Return the pages of the navigation: connected accounts only with a provider, or on their own pages."""
    hidden = set() if current_app.config["OIDC_PROVIDERS"] else {"auth.connections"} - {current, request.endpoint}
    pages = [page for page in SETTINGS_PAGES if page.endpoint in current_app.view_functions.keys() - hidden]
    if not switches.is_on("password"):
        pages = [SettingsPage(*page[:2], _("Login")) if page.title is PASSWORD_AND_LOGIN else page for page in pages]
    return pages
