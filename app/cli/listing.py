"""`flask users list`, `show` and `history`: read accounts, also as JSON or CSV."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import click
from sqlalchemy import select

from app.accounts import sessions, sso, two_factor, user_search, wording
from app.accounts.user_search import Filter, Order, Search
from app.cli.commands import echo_row, json_option
from app.cli.users import find, users
from app.csv_lines import csv_lines
from app.extensions import db
from app.models import Actor, AuditEvent, User
from app.models.role import DEFAULT_ROLE
from app.security import user_agents
from app.switches import is_on

MAX_PAGE = 1000  # users
ACTORS = {
    None: "the user",
    Actor.ADMINISTRATOR: "an administrator",
    Actor.COMMAND_LINE: "an administrator at the command line",
}
FILTERS = {group.value: group for group in Filter}

csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print CSV for a spreadsheet, with a header.")


@users.command("list")
@click.argument("text", metavar="[SEARCH]", default="")
@click.option("--only", type=click.Choice([*FILTERS]), help="List one group of users.")
@click.option(
    "--sort", type=click.Choice([order.value for order in Order]), help="The order; a dash before it reverses it."
)
@click.option("--limit", type=click.IntRange(1, MAX_PAGE), help="Print a page of this size, and the key of the next.")
@click.option("--after", metavar="KEY", default="", help="Begin after the key of the last page.")
@json_option
@csv_option
def list_users(
    text: str, only: str | None, sort: str | None, limit: int | None, after: str, as_json: bool, as_csv: bool
) -> None:
    """List the accounts, or those that SEARCH finds.

    SEARCH is an id, an IP address, or the beginning of a name or email address.
    """
    order = Order(sort or (Order.USERNAME if is_on("username") else Order.EMAIL))
    search = Search(text, FILTERS.get(only or ""), order)
    page = user_search.page(search, older=after, size=limit) if limit else None
    found = iter(page.users) if page else user_search.everyone(search, after)
    first = list(islice(found, 1))
    if not first and (text or only):
        click.echo("No account matches.", err=True)
        return
    username = "{username:24} " if is_on("username") else ""
    echo_rows(f"{username}{{email:40}} {{state}}", map(_row, chain(first, found)), as_json, as_csv)
    if page and page.older:
        click.echo(f"The next page: --after {page.older}", err=True)


@users.command()
@click.argument("name", metavar="ACCOUNT")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show one account."""
    user = find(name)
    row: dict[str, Any] = {"id": user.id} | _names(user)
    row |= {
        "state": _state(user),
        "password": "set" if user.has_password else "none",
        "linked": sso.labels(user),
        "two_factor": two_factor.methods(user) if two_factor.is_on(user) else [],
        "language": user.language or "not known",
        "time_zone": user.time_zone or "not known",
        "created": user.created_at,
        "devices": len(sessions.find_all(user)),
    }
    row = {name: value for name, value in row.items() if name not in ("password", "two_factor") or is_on(name)}
    labels = {name: name.replace("two_f", "two-f").replace("_", " ").capitalize() for name in row}
    echo_row("\n".join(f"{label:10} {{{name}}}" for name, label in labels.items()), as_json, **row)


@users.command()
@click.argument("name", metavar="ACCOUNT")
@click.option("--limit", type=click.IntRange(1), help="Print at most this number of events.")
@json_option
@csv_option
def history(name: str, limit: int | None, as_json: bool, as_csv: bool) -> None:
    """List the security history of an account, the newest event first."""
    mine = select(AuditEvent).where(AuditEvent.user_id == find(name).id).limit(limit)
    newest = mine.order_by(AuditEvent.at.desc(), AuditEvent.id.desc()).execution_options(yield_per=1000)
    layout = "{time:20} {label:44} {ip:15} {device:20} {by} {details}"
    describe = _event if as_json or as_csv else _event_in_words
    echo_rows(layout, map(describe, db.session.scalars(newest)), as_json, as_csv)


def echo_rows(layout: str, rows: Iterable[dict[str, Any]], as_json: bool, as_csv: bool) -> None:
    """Print rows as they come: a line of text, of JSON or of CSV each."""
    if as_json and as_csv:
        raise click.UsageError("Give only one of --json and --csv.")
    if as_csv:
        for line in csv_lines(*_columns(iter(rows))):
            click.echo(line, nl=False)
        return
    for row in rows:
        echo_row(layout, as_json, **row)


def _columns(rows: Iterator[dict[str, Any]]) -> tuple[Iterable[str], Iterable[Iterable[object]]]:
    first = next(rows, {})
    return first, ([_cell(value) for value in row.values()] for row in chain([first] if first else [], rows))


def _cell(value: object) -> object:
    return ", ".join(value) if isinstance(value, list) else json.dumps(value) if isinstance(value, dict) else value


def _event(event: AuditEvent) -> dict[str, Any]:
    by = (
        "someone"
        if event.actor is None and event.declared and event.declared.facts.by_strangers
        else ACTORS[event.actor]
    )
    where = {"ip": event.ip, "device": user_agents.in_words(event.user_agent) if event.user_agent else ""}
    what = {"action": event.action, "label": event.label, "count": event.count}
    return {"time": event.at} | what | where | {"by": by, "details": event.detail}


def _event_in_words(event: AuditEvent) -> dict[str, Any]:
    details = ", ".join(f"{name}: {value}" for name, value in wording.details(event))
    return _event(event) | {"label": wording.happened(event), "details": details and f"({details})"}


def _row(user: User) -> dict[str, Any]:
    return {"id": user.id} | _names(user) | {"state": _state(user), "created": user.created_at}


def _names(user: User) -> dict[str, str]:
    return {"username": user.username, "email": user.email} if is_on("username") else {"email": user.email}


def _state(user: User) -> list[str]:
    state = {
        "deactivated": not user.is_active,
        "to be deleted": user.deletion_due_at,
        "confirmed": user.confirmed,
        "not confirmed": not user.confirmed and is_on("confirmation"),
        user.role_name: user.role_name != DEFAULT_ROLE,
    }
    return [word for word, is_so in state.items() if is_so]
