"""The checks of this installation, which change nothing: `flask doctor` and the administration pages show them.

A check yields a Finding for each problem and each recommendation, and raises Skipped if there is nothing to check.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from app.doctor import disks, installation, proxies, sender_domain, sequences, services
from app.doctor.findings import Finding, Severity, Skipped, reason
from app.extensions import db

__all__ = ["CHECKS", "QUICK", "Finding", "Severity", "examine", "findings"]

CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "settings": installation.settings,
    "database": installation.database,
    "foreign keys": installation.foreign_keys,
    "sequences": sequences.sequences,
    "disks": disks.disks,
    "clock": services.time_of_day,
    "emails": installation.outbox,
    "cleanup": installation.jobs,
    "authenticator apps": installation.authenticator_apps,
    "PUBLIC_URL, TLS and proxies": proxies.public_url,
    "mail server": services.mail_server,
    "SPF, DKIM and DMARC": sender_domain.sender_domain,
    "providers": services.providers,
    "CAPTCHA": services.captcha_service,
    "compromised passwords": services.compromised_passwords,
    "Redis": services.redis,
}
# They connect to the database alone, and read few of its rows.
QUICK = ("settings", "database", "sequences", "disks", "emails", "cleanup")


def findings(quick: bool = False) -> list[Finding]:
    """Return the problems and recommendations of all checks, or of those that are quick."""
    found = [finding for name in (QUICK if quick else CHECKS) for finding in examine(name)]
    return [finding for finding in found if finding.severity is not Severity.SKIPPED]


def examine(name: str) -> list[Finding]:
    """Run a check. A failing check must not hide the findings of the others."""
    try:
        found = list(CHECKS[name]())
    except Skipped as skipped:
        found = [Finding(str(skipped), severity=Severity.SKIPPED)]
    except SQLAlchemyError as error:
        db.session.rollback()
        found = [Finding(f"the database does not answer: {reason(error)}", severity=Severity.SKIPPED)]
    except Exception as error:
        found = [Finding(f"This could not be checked: {type(error).__name__}: {reason(error)}")]
    return [replace(finding, check=name) for finding in found]
