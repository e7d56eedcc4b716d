"""The limit: bare Flask with one query for the logged-in user, one small template, and a login without any rules.

Its login page signs a session cookie, as a page with a CSRF token does.

`python limit.py N` creates the tables and N users, and prints the hash of their password, like the other applications.
"""

import os
import secrets
import sys

from flask import Flask, redirect, render_template, request, session
from flask_sqlalchemy import SQLAlchemy
from jinja2 import DictLoader
from werkzeug.security import check_password_hash, generate_password_hash

app = Flask(__name__)
app.config |= {"SECRET_KEY": os.environ["SECRET_KEY"], "SQLALCHEMY_DATABASE_URI": os.environ["DATABASE_URL"]}
app.jinja_loader = DictLoader(
    {
        "home.html": "<!doctype html><title>Home</title><h1>Hello, {{ person.name if person else 'stranger' }}!</h1>",
        "login.html": "<!doctype html><title>Log in</title><form method=post><input name=login><input name=password>",
    }
)
db = SQLAlchemy(app)


class Person(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(64), unique=True)
    hash = db.Column(db.String(256))


@app.route("/")
def home():
    return render_template("home.html", person="id" in session and db.session.get(Person, session["id"]))


@app.route("/auth/login", methods=["GET", "POST"])
def login():
    if request.method == "GET":
        session["token"] = secrets.token_hex()
        return render_template("login.html")
    person = db.session.scalar(db.select(Person).filter_by(name=request.form["login"]))
    if not person or not check_password_hash(person.hash, request.form["password"]):
        return render_template("login.html"), 422
    session["id"] = person.id
    return redirect("/")


if __name__ == "__main__":
    hashed = generate_password_hash(os.environ["PASSWORD"], "scrypt:16384:8:5")
    with app.app_context():
        db.create_all()
        people = [{"name": f"person{number}", "hash": hashed} for number in range(int(sys.argv[1]))]
        db.session.execute(db.insert(Person), people)
        db.session.commit()
    print(hashed)
