"""The administration pages with the worst searches and filters, for tests and for the benchmark.

The worst is a letter that most names begin with, what no account has, and events and emails that are rare.
"""

from urllib.parse import urlencode

FILTERS = ["unconfirmed", "administrators", "two-factor", "deactivated", "to-be-deleted", "never-logged-in"]
SEARCHES = ["p", "ann", "%", "_", "Zoë", "ANN", "person10@example.com", "nobody@example.com", "10.7.7.7"]
RARE = "deactivated"


def paths(user):
    """Return the paths of the administration pages that read tables. `user` is an id in the middle."""
    orders = ("created", "name", "-name", "email", "-email")
    older = f"2026-06-01T00:00:00+00:00~{user}"
    lists = {
        "users": [
            {}, {"older": user}, {"newer": user}, *({"sort": order} for order in orders),
            *({"only": only, "sort": order} for only in FILTERS for order in ("-created", "name")),
            *({"text": text, "only": only} for text in SEARCHES for only in ("", *FILTERS[:2])),
        ],
        "events": [
            {}, {"older": older}, {"newer": older}, {"user": user}, {"ip": "10.7.7.7"}, {"ip": "10.7.7.0/24"},
            *({"action": action} for action in ("logged_in", RARE, "imported")),
            {"action": RARE, "until": "2026-01-01"}, {"action": RARE, "user": user},
            {"action": RARE, "ip": "10.7.7.0/24"},
        ],
        "emails": [
            {}, {"older": user}, {"newer": user},
            *({"state": state} for state in ("waiting", "failed", "sent", "complained", "stopped")),
            *({"template": template} for template in ("confirm", "account_secured", "account_invitation")),
            *({"to": to} for to in ("person10@example.com", "nobody@example.com", "@mail.example", "@nobody.example")),
        ],
        "emails/domains": [{}],
        "invitations": [{}, *({"state": state} for state in ("waiting", "accepted", "withdrawn", "expired"))],
        "blocks": [{}],
        f"users/{user}": [{}],
    }  # fmt: skip
    overview = [f"/admin/?range={span}" for span in ("24h", "30d", "12m")]
    return [*overview, *(f"/admin/{name}?{urlencode(query)}" for name, queries in lists.items() for query in queries)]
