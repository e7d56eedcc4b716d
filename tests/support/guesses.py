"""Attempts to guess a password."""


def guess(browser, login="ada", password="wrong", **more):
    return browser.post("/auth/login", data={"login": login, "password": password}, **more)


def statuses(answers):
    return [answer.status_code for answer in answers]
