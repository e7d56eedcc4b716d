"""A small application based on django-allauth, with its default pages and Django's default password hash.

Registering logs in and sends a confirmation email. Each thread keeps a database connection.
"""

import os
import sys
from urllib.parse import parse_qsl, urlsplit

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application

url = urlsplit(os.environ["DATABASE_URL"])
if url.scheme.startswith("postgresql"):
    place = {"HOST": dict(parse_qsl(url.query))["host"], "USER": url.username, "NAME": url.path[1:]}
    database = {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 600, **place}
else:
    database = {"ENGINE": "django.db.backends.sqlite3", "CONN_MAX_AGE": 600, "NAME": url.path[1:]}

HOME = """{% extends "allauth/layouts/base.html" %}{% block content %}
<h1>Hello, {% if user.is_authenticated %}{{ user.username }}{% else %}stranger{% endif %}!</h1>{% endblock %}"""
PROCESSORS = ["django.template.context_processors.request", "django.contrib.auth.context_processors.auth"]
LOADERS = [
    ("django.template.loaders.locmem.Loader", {"home.html": HOME}),
    "django.template.loaders.app_directories.Loader",
]
settings.configure(
    SECRET_KEY=os.environ["SECRET_KEY"],
    ALLOWED_HOSTS=["localhost"],
    ROOT_URLCONF="allauth_urls",
    DATABASES={"default": database},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "allauth",
        "allauth.account",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": PROCESSORS,
                "loaders": [("django.template.loaders.cached.Loader", LOADERS)],
            },
        }
    ],
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
    SESSION_COOKIE_SECURE=True,
    CSRF_COOKIE_SECURE=True,
    LOGIN_REDIRECT_URL="/",
    ACCOUNT_LOGIN_METHODS={"username", "email"},
    ACCOUNT_SIGNUP_FIELDS=["email*", "username*", "password1*", "password2*"],
    ACCOUNT_RATE_LIMITS=False,
    EMAIL_HOST="127.0.0.1",
    EMAIL_PORT=int(os.environ["MAIL_PORT"]),
    DEFAULT_FROM_EMAIL="no-reply@localhost",
)
app = get_wsgi_application()

if __name__ == "__main__":
    from allauth.account.models import EmailAddress
    from django.contrib.auth.hashers import make_password
    from django.contrib.auth.models import User
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    hashed = make_password(os.environ["PASSWORD"])
    names = [f"person{number}" for number in range(int(sys.argv[1]))]
    people = [User(username=name, email=f"{name}@example.com", password=hashed) for name in names]
    people = User.objects.bulk_create(people, batch_size=1000)
    addresses = [EmailAddress(user=person, email=person.email, verified=True, primary=True) for person in people]
    EmailAddress.objects.bulk_create(addresses, batch_size=1000)
    print(hashed)
