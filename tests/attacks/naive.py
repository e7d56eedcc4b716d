"""The same doors, built as one should not: so that attack.py is seen to find the holes. Nobody is to serve this.

It differs from ours in what it forgets. Every form bears a token that nobody looks at; who is logged in is a row that
is neither renewed nor ended; no try is too many, until the account is locked, for its owner too; links begin with the
host that was asked for, are looked at first and used up later; emails are posted before the answer is given, and
answers say who has an account, and exports where strangers are who asked for something.
"""

import os
import secrets
import smtplib
import sqlite3
import unicodedata
from contextlib import closing
from email.message import EmailMessage
from email.utils import make_msgid
from io import BytesIO
from zipfile import ZipFile

from flask import Flask, Response, g, redirect, render_template_string, request, session
from werkzeug.security import check_password_hash, generate_password_hash
from zxcvbn import zxcvbn

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY")
DATABASE = os.environ.get("DATABASE_URL", "").removeprefix("sqlite:///")
LOCKED_AFTER = 90  # wrong passwords
FORM = '{{ words }}<form method="post"><input name="csrf_token" value="anything"></form>'
TABLES = """
    CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE COLLATE NOCASE, username TEXT UNIQUE COLLATE NOCASE,
        password_hash TEXT, failures INTEGER DEFAULT 0, is_leaving INTEGER DEFAULT 0);
    CREATE TABLE visitors (id TEXT PRIMARY KEY, user_id INTEGER);
    CREATE TABLE visits (user_id INTEGER, network TEXT);
    CREATE TABLE tokens (id TEXT PRIMARY KEY, user_id INTEGER, used INTEGER DEFAULT 0);
"""
ADD = "INSERT INTO users (email, username, password_hash) VALUES (?, ?, ?)"


def run(statement, *values, database=None):
    with closing(sqlite3.connect(database or DATABASE, timeout=10, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(statement, values).fetchone()


@app.before_request
def recognise():
    g.visitor = session.setdefault("visitor", secrets.token_hex())  # the same before and after
    known = "SELECT users.* FROM users JOIN visitors ON users.id = user_id WHERE visitors.id = ?"
    g.user = request.path != "/healthz" and run(known, g.visitor)


@app.get("/")
@app.get("/<path:page>")
def form(words="", status=200, page=""):
    return render_template_string(FORM, words=words), status


@app.get("/account")
def account():
    if g.user and g.user["is_leaving"]:
        return redirect("/auth/cancel-deletion")
    return form(g.user["username"]) if g.user else redirect("/auth/login")


@app.post("/auth/login")
def log_in():
    if "credential" in request.form:
        return form("That passkey is not known.", 422)
    user = find(request.form["login"])
    if not user:
        return form(f"Nobody is called {request.form['login'][:100]}.", 422)
    note(user)
    if user["failures"] >= LOCKED_AFTER:
        return form("This account is locked.", 422)
    if not check_password_hash(user["password_hash"], request.form["password"]):
        run("UPDATE users SET failures = failures + 1 WHERE id = ?", user["id"])
        return form("That is not the password.", 422)
    return let_in(user)


@app.post("/auth/logout")
def log_out():
    session.clear()
    return redirect("/")


@app.post("/auth/register")
def register():
    name, email = request.form["username"], request.form["email"]
    if zxcvbn(request.form["password"])["score"] < 2 or len(name) > 64:
        return form("That will not do.", 422)
    try:
        run(ADD, email, name, generate_password_hash(request.form["password"]))
    except sqlite3.IntegrityError:
        return form("That is taken.", 422)
    post(email, "We sent a link and a code to")
    return let_in(find(email))


@app.post("/auth/unconfirmed")  # another address
@app.post("/auth/change-email")
@app.post("/auth/confirm")  # another email
@app.post("/auth/reauthenticate")  # a code
def write():
    post(request.form.get("email") or g.user["email"], "Here is what you asked for.")
    return redirect("/")


@app.post("/auth/reset", defaults={"page": "reset"})
@app.post("/auth/magic-link", defaults={"page": "magic-link"})
def send_link(page):
    user, token = find(request.form["email"]), secrets.token_hex()
    if not user:
        return form("Nobody has that address.", 422)
    if page == "reset" and run("SELECT count(*) AS sent FROM tokens WHERE user_id = ?", user["id"])["sent"] >= 10:
        return redirect("/")
    note(user)
    run("INSERT INTO tokens (id, user_id) VALUES (?, ?)", token, user["id"])
    post(user["email"], f"Hello {user['username']}, https://{request.host}/auth/{page}/{token}")
    return redirect("/")


@app.route("/auth/<any(reset, 'magic-link'):page>/<token>", methods=["GET", "POST"])
def use_link(page, token):
    found = run("SELECT users.*, used FROM users JOIN tokens ON users.id = user_id WHERE tokens.id = ?", token)
    if not found or found["used"]:
        return form("This link was used.", 410)
    if request.method == "GET":
        return form()
    if page == "reset":
        change_password(found["id"])
    else:
        post(found["email"], "Was this you?")
    run("UPDATE tokens SET used = 1 WHERE id = ?", token)
    return redirect("/auth/login") if page == "reset" else let_in(found)


@app.post("/auth/change-password")
def change_password(user_id=None):
    hashed = generate_password_hash(request.form["password"])
    run("UPDATE users SET password_hash = ? WHERE id = ?", hashed, user_id or g.user["id"])
    return redirect("/account")


@app.post("/auth/delete")
def delete():
    run("UPDATE users SET is_leaving = 1 WHERE id = ?", g.user["id"])
    return redirect("/auth/cancel-deletion")


@app.post("/auth/export")
def export():
    visits = run("SELECT group_concat(network) AS networks FROM visits WHERE user_id = ?", g.user["id"])
    with closing(BytesIO()) as file:
        with ZipFile(file, "w") as archive:
            archive.writestr("visits.txt", visits["networks"])
        return Response(file.getvalue(), mimetype="application/zip")


def note(user):
    run("INSERT INTO visits VALUES (?, ?)", user["id"], request.headers["X-Forwarded-For"])


def find(login):
    login = unicodedata.normalize("NFC", login)
    return run("SELECT * FROM users WHERE email = ? OR username = ?", login, login)


def let_in(user):
    run("INSERT OR REPLACE INTO visitors VALUES (?, ?)", g.visitor, user["id"])
    return redirect(request.args.get("next") or "/")


def post(email, words):
    message = EmailMessage()
    message["From"], message["To"], message["Message-ID"] = "naive@example.com", email, make_msgid(domain="localhost")
    message.set_content(words)
    with smtplib.SMTP(os.environ["MAIL_SERVER"], int(os.environ["MAIL_PORT"])) as server:
        server.send_message(message)
