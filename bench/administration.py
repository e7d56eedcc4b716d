"""Print the queries of administration pages that read more than 10,000 rows: page, step of the plan, rows."""

import sys
from pathlib import Path

import people
from sqlalchemy import event

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.administration import paths

MANY = 10_000  # rows


def main(user):
    from app import create_app
    from app.extensions import db

    app, asked = create_app(), []
    url, cookie = app.config["PUBLIC_URL"], people.cookie(app.config["SECRET_KEY"], app.config["PUBLIC_URL"], 0)
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
    for path in paths(user):
        asked.clear()
        app.test_client(use_cookies=False).get(path, headers={"Cookie": cookie}, base_url=url)
        queries = [(statement, values) for statement, values in asked if statement.startswith("SELECT")]
        with app.app_context(), db.engine.connect() as connection:
            for statement, values in queries:
                explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
                for line in long_steps(explained.scalar_one()[0]["Plan"]):
                    print(f"- {path}: {line}")


def long_steps(step, many=MANY):
    """Return the steps of a plan that read many rows, in words."""
    lines = [line for below in step.get("Plans", []) for line in long_steps(below, many)]
    rows = (step["Actual Rows"] + step.get("Rows Removed by Filter", 0)) * step["Actual Loops"]
    if rows > many and (names := [step[key] for key in ("Relation Name", "Index Name") if key in step]):
        lines += [f"{step['Node Type']} on {' by '.join(names)}, {rows:,.0f} rows"]
    return lines


if __name__ == "__main__":
    main(int(sys.argv[1]))
