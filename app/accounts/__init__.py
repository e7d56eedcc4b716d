"""The services: what can happen to an account. They know no request and never commit; the caller does.

Accounts
    registration            create an account, and confirm its email address
    email_typos             mistyped domains of well-known email providers
    enumeration             what PREVENT_ENUMERATION hides from visitors
    usernames               check, propose and change usernames
    email_change            change the email address
    email_ownership         what the first proof of an email address without the password removes
    personal_data           the register of what is stored about a user, for export and deletion
    account_deletion        request, cancel and carry out the deletion of an account
    administration          what only administrators change

Credentials
    passwords               authenticate by password; change, remove and reset passwords
    password_strength       refuse new passwords that are short or easy to guess
    magic_links             log in by an emailed link or code
    passkeys                add, use, rename and remove passkeys
    passkey_ceremonies      the two ceremonies of Web Authentication
    sso                     log in through providers; link and unlink identities
    credentials             remove and restore credentials of every kind
    secure_account          take an account back by a "This wasn't me" link

Two-factor authentication
    two_factor              turn it on and off
    two_factor_codes        check codes, and limit the attempts
    authenticators          authenticator apps
    recovery_codes          ten codes that work once each
    device_verification     a code by email before a password logs in on a new device
    reauthentication        a code by email for accounts without a password

Sessions and jobs
    sessions                start, find and revoke sessions
    devices                 recognise and trust the devices of an account
    cleanup                 delete expired data, once a day
    jobs                    run cleanup jobs in turn with other processes
"""
