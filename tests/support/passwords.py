"""A new password, and the form that asks for one."""

NEW = "a heron over the lock"
NEW_TWICE = {"password": NEW, "confirm_password": NEW}


def choose(client, link, password=NEW, again=None, **request):
    """Choose a new password on the page that an emailed link opens."""
    form = {"password": password, "confirm_password": password if again is None else again}
    return client.post(link, data=form, **request)
