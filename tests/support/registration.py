"""The registration form, filled in."""

from support.clients import PASSWORD

FORM = {"email": "eve@example.com", "username": "eve", "password": PASSWORD, "confirm_password": PASSWORD}
