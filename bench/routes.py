"""The routes of this application, and the hostile requests that each of them gets.

`python routes.py N` prints the routes, with N users in the database. They are those of the url_map, and the fields of
each are those that it is heard to ask for, so that a new route is measured, too.
"""

import itertools
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

import people

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.corpora import encoded
from support.costly import BODIES, COSTLY, HEADERS, MANY, VALUES, form
from support.walk import SWITCHES, Fields, Listening, Query, fill, plausible

LOGIN = "/auth/login"
MAX = 8000  # bytes of a request's first line, and of a header, which gunicorn accepts
AT_ONCE = 3  # long headers: nginx passes on 32 KiB
some_headers = itertools.cycle(name.title().replace("_", "-") for name in HEADERS if name != "X_FORWARDED_FOR")


class Route(NamedTuple):
    method: str
    rule: str
    names: list  # of the fields, and of the parts of the query
    is_for_users: bool

    def __str__(self):
        return f"{self.method} {self.rule}"

    def ordinary(self, number):
        """Return what a person would send: the path and the body."""
        person = plausible(number)
        fields = {name: person.get(name, "1") for name in self.names if name not in SWITCHES}
        return {"path": address(self), "body": b"" if self.method == "GET" else form(fields)}

    def hostile(self):
        """Yield each hostile request by its name, as what differs from an ordinary one."""
        for kind, text in COSTLY.items():
            if "<" in self.rule:
                yield f"{kind}, path", {"path": fill(self, text(5000))[:MAX]}
            if self.method == "GET":
                query = encoded([(name, text(5000)) for name in {*self.names, "next"}])
                yield f"{kind}, query", {"path": f"{address(self)}?{query}"[:MAX]}
            else:
                names = {*self.names} - SWITCHES or {"x"}
                yield f"{kind}, form", {"body": form(dict.fromkeys(names, text(16_000)))}
        for kind, query in MANY.items():
            yield f"{kind}, query", {"path": f"{address(self)}?{query}"[:MAX]}
        for kind, (body, content_type) in BODIES.items() if self.method != "GET" else ():
            yield f"{kind}, body", {"body": body[:65_000].encode(), "headers": {"Content-Type": content_type}}
        for kind, value in VALUES.items():
            names = list(itertools.islice(some_headers, AT_ONCE))
            yield f"{kind}, {', '.join(names)}", {"headers": dict.fromkeys(names, value[:MAX])}


def address(rule):
    return fill(rule, "1" if "int:" in rule.rule else "x")


def routes(people_count):
    """Yield every route with each of its methods."""
    from app import create_app

    app, numbers = create_app(), itertools.count(people_count - 1, -1)
    app.request_class = Listening
    client, url = app.test_client(use_cookies=False), app.config["PUBLIC_URL"]

    def ask(rule, method, **headers):
        Fields.names.clear()
        Query.names.clear()
        sent = {"method": method, "base_url": url, "headers": headers | {"Sec-Fetch-Site": "same-origin"}}
        answer = client.open(address(rule), data=None if method == "GET" else {"x": "1"}, buffered=True, **sent)
        if answer.status_code >= 500:
            sys.exit(f"{method} {rule} answers {answer.status_code}.")
        return sorted({*Fields.names, *Query.names}), answer

    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            heard, answer = ask(rule, method)
            is_for_users = answer.status_code == 401 or LOGIN in (answer.location or "")
            if is_for_users:
                heard, _ = ask(rule, method, Cookie=people.cookie(os.environ["SECRET_KEY"], url, next(numbers)))
            yield Route(method, rule.rule, heard, is_for_users)


if __name__ == "__main__":
    print(json.dumps(list(routes(int(sys.argv[1])))))
