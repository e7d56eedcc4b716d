"""Switches: capabilities that settings turn off. What is off has no page, no command, no email and no words."""

from collections.abc import Callable
from copy import copy
from typing import Any

from flask import Blueprint, Flask, current_app
from flask.blueprints import BlueprintSetupState
from flask.cli import AppGroup

SWITCHES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "password": lambda settings: "password" in settings["LOGIN_METHODS"],
    "magic_link": lambda settings: "magic_link" in settings["LOGIN_METHODS"],
    "passkey": lambda settings: "passkey" in settings["LOGIN_METHODS"],
    "two_factor": lambda settings: bool(settings["TWO_FACTOR"]),
    "username": lambda settings: settings["USERNAMES"] != "off",
    "captcha": lambda settings: settings["CAPTCHA"] != "off",
    "altcha": lambda settings: settings["CAPTCHA"] == "altcha",
    "confirmation": lambda settings: settings["CONFIRMATION"] != "off",
}
PAGES = {  # by the module of the view, or by the endpoint
    "app.auth.confirmation": "confirmation",
    "app.auth.device_verification": "password",
    "app.auth.magic_links": "magic_link",
    "app.auth.passkeys": "passkey",
    "app.auth.passwords": "password",
    "app.auth.proof_of_work": "altcha",
    "app.auth.recovery_codes": "two_factor",
    "app.auth.two_factor": "two_factor",
    "app.auth.two_factor_verification": "two_factor",
    "app.auth.usernames": "username",
    "auth.register_by_link": "captcha",
    "main.well_known_change_password": "password",
}
COMMANDS = {
    "confirm": "confirmation",
    "reset-two-factor": "two_factor",
    "send-reset": "password",
    "trust-next-login": "password",
}
OPTIONS = {"username": "username"}


def is_on(switch: str, app: Flask | None = None) -> bool:
    """Return whether a capability, one of SWITCHES, is on. Templates have this function as `is_on`, too."""
    return SWITCHES[switch]((app or current_app).config)


def on_commands(app: Flask, group: AppGroup) -> AppGroup:
    """Return the group with only those commands and options that are on."""
    on = copy(group)
    on.commands = {
        name: copy(command) for name, command in group.commands.items() if _is_registered(app, COMMANDS, name)
    }
    for command in on.commands.values():
        command.params = [option for option in command.params if _is_registered(app, OPTIONS, option.name or "")]
    return on


class SwitchedBlueprint(Blueprint):
    """A blueprint that registers only those pages that are on. url_for() fails for the others."""

    def make_setup_state(self, app: Any, options: dict[str, Any], first_registration: bool = False) -> "SetupState":
        return SetupState(self, app, options, first_registration)


class SetupState(BlueprintSetupState):
    def add_url_rule(self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any) -> None:
        if _is_registered(self.app, PAGES, view_func.__module__, f"{self.name}.{endpoint or view_func.__name__}"):
            super().add_url_rule(rule, endpoint, view_func, **options)


def _is_registered(app: Any, table: dict[str, str], *names: str) -> bool:
    return all(is_on(table[name], app) for name in names if name in table)
