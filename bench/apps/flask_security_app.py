"""A small application based on Flask-Security's quick start, with its default pages and password hash.

Registering logs in and sends a confirmation email. Logins are not tracked, which is the default.
"""

import os
import sys

from flask import Flask, render_template
from flask_mailman import Mail
from flask_security import Security, SQLAlchemyUserDatastore, hash_password
from flask_security.models import fsqla_v3 as fsqla
from flask_sqlalchemy import SQLAlchemy
from jinja2 import ChoiceLoader, DictLoader
from werkzeug.middleware.proxy_fix import ProxyFix

HOME = """{% extends "security/base.html" %}{% block content %}
<h1>Hello, {{ current_user.email if current_user.is_authenticated else "stranger" }}!</h1>{% endblock %}"""

app = Flask(__name__)
app.config |= {
    "SECRET_KEY": os.environ["SECRET_KEY"],
    "SECURITY_PASSWORD_SALT": os.environ["SECRET_KEY"][::-1],
    "SQLALCHEMY_DATABASE_URI": os.environ["DATABASE_URL"],
    "SECURITY_REGISTERABLE": True,
    "SECURITY_RECOVERABLE": True,
    "SECURITY_CONFIRMABLE": True,
    "SECURITY_LOGIN_WITHOUT_CONFIRMATION": True,
    "SECURITY_EMAIL_VALIDATOR_ARGS": {"check_deliverability": False},
    "SESSION_COOKIE_SECURE": True,
    "MAIL_SERVER": "127.0.0.1",
    "MAIL_PORT": int(os.environ["MAIL_PORT"]),
    "MAIL_DEFAULT_SENDER": "no-reply@localhost",
}
app.wsgi_app = ProxyFix(app.wsgi_app)
app.jinja_loader = ChoiceLoader([DictLoader({"home.html": HOME}), app.jinja_loader])
db = SQLAlchemy(app)
Mail(app)
fsqla.FsModels.set_db_info(db)


class Role(db.Model, fsqla.FsRoleMixin):
    pass


class User(db.Model, fsqla.FsUserMixin):
    pass


datastore = SQLAlchemyUserDatastore(db, User, Role)
Security(app, datastore)


@app.route("/")
def home():
    return render_template("home.html")


if __name__ == "__main__":
    with app.app_context():
        db.create_all()
        hashed = hash_password(os.environ["PASSWORD"])
        for number in range(int(sys.argv[1])):
            datastore.create_user(email=f"person{number}@example.com", password=hashed, confirmed_at=db.func.now())
        db.session.commit()
    print(hashed)
