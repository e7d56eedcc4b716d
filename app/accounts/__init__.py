"""The services, which change accounts. They do not depend on a request and never commit: the caller does.

Accounts
    registration            create an account, and confirm its email address
    email_typos             mistyped domains of well-known email providers
    enumeration             the policy that PREVENT_ENUMERATION selects
    usernames               check, propose and change usernames
    email_change            change the email address
    email_ownership         remove what another person may have left in an account
    personal_data           the register of what is stored about a user, for export and deletion
    account_deletion        request, cancel and carry out the deletion of an account
    imports                 import accounts of other applications
    administration          changes that only administrators make
    invitations             invite email addresses, also where registration is closed
    blocks                  addresses, domains and networks that may not register
    login_obstacles         what keeps a user from logging in, and the command that helps

Credentials
    passwords               authenticate by password; change, remove and reset passwords
    password_strength       refuse new passwords that are short or easy to guess
    magic_links             log in by an emailed link or code
    passkeys                add, use, rename and remove passkeys
    passkey_ceremonies      register and verify passkeys by WebAuthn
    cbor                    check what authenticators say before a library decodes it
    external_identity       what sso returns: an identity at a provider, and the outcomes
    sso                     log in through providers; link and unlink identities
    credentials             remove and restore credentials of every kind
    secure_account          recover an account by a "This wasn't me" link

Two-factor authentication
    two_factor              turn it on and off
    two_factor_codes        check codes, and limit the attempts
    authenticators          add, use and remove authenticator apps
    recovery_codes          create and use single-use codes
    device_verification     email a code before a password logs in on a new device
    reauthentication        email a code to reauthenticate users without a password

Sessions and jobs
    sessions                start, find and revoke sessions
    devices                 recognise and trust the devices of an account
    cleanup                 delete expired data, once a day
    jobs                    run each cleanup job in one process at a time

Words
    wording                 how login methods and details of events read
"""
