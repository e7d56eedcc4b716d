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
    "registration": lambda settings: "none" not in settings["LOGIN_METHODS"],  # otherwise at a provider only
    "passwordless": lambda settings: not {"none", "password"} & {*settings["LOGIN_METHODS"]},
    "login_link": lambda settings: {*settings["LOGIN_METHODS"]} == {"passkey"} or SWITCHES["magic_link"](settings),
    "two_factor": lambda settings: bool(settings["TWO_FACTOR"]),
    "mock_provider": lambda settings: bool(settings["MOCK_PROVIDER"]),
    "username": lambda settings: settings["USERNAMES"] != "off",
    "captcha": lambda settings: settings["CAPTCHA"] != "off",
    "altcha": lambda settings: settings["CAPTCHA"] == "altcha",
    "confirmation": lambda settings: settings["CONFIRMATION"] != "off",
}
# What each switch removes: modules of views, endpoints, emails, and commands and options of `flask users`.
REMOVES = {
    "password": "app.auth.passwords app.auth.device_verification main.well_known_change_password send-reset"
    " trust-next-login --password_stdin --password_file --password_env email/first_password email/password_changed"
    " email/password_compromised email/password_guessing email/password_removed email/reset email/verify_device",
    "magic_link": "auth.magic_link auth.magic_link_sent email/magic_link",
    "login_link": "app.auth.magic_links",
    "passkey": "app.auth.passkeys auth.remove_password auth.require_passkey auth.stop_requiring_passkey"
    " email/passkey_added email/passkey_copied email/passkey_removed email/password_removed",
    "registration": "auth.register auth.register_by_link",
    "passwordless": "send-login-link",
    "two_factor": "app.auth.recovery_codes app.auth.two_factor app.auth.two_factor_verification auth.untrust_device"
    " reset-two-factor email/recovery_codes_few email/recovery_codes_made email/two_factor_added"
    " email/two_factor_failed email/two_factor_off email/two_factor_on",
    "mock_provider": "app.dev.mock_provider",
    "altcha": "app.auth.proof_of_work",
    "captcha": "auth.register_by_link",
    "confirmation": "app.auth.confirmation confirm email/confirm",
    "username": "app.auth.usernames rename --username",
}


def is_on(switch: str, app: Flask | None = None) -> bool:
    """Return whether a capability, one of SWITCHES, is on. Templates have this function as `is_on`, too."""
    return SWITCHES[switch]((app or current_app).config)


def has(*names: str, app: Flask | None = None) -> bool:
    """Return whether no switch removes one of these names."""
    return all(is_on(switch, app) for switch, removed in REMOVES.items() if {*names} & {*removed.split()})


def on_commands(app: Flask, group: AppGroup) -> AppGroup:
    """Return the group with only those commands and options that are on."""
    on = copy(group)
    on.commands = {name: copy(command) for name, command in group.commands.items() if has(name, app=app)}
    for command in on.commands.values():
        command.params = [option for option in command.params if has(f"--{option.name}", app=app)]
    return on


class SwitchedBlueprint(Blueprint):
    """A blueprint that registers only those pages that are on. url_for() fails for the others."""

    def make_setup_state(self, app: Any, options: dict[str, Any], first_registration: bool = False) -> "SetupState":
        return SetupState(self, app, options, first_registration)


class SetupState(BlueprintSetupState):
    def add_url_rule(self, rule: str, endpoint: str | None = None, view_func: Any = None, **options: Any) -> None:
        if has(view_func.__module__, f"{self.name}.{endpoint or view_func.__name__}", app=self.app):
            super().add_url_rule(rule, endpoint, view_func, **options)
