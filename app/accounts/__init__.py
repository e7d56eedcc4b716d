"""What can happen to an account: a module a capability. No web, no commit: whoever calls does both."""
