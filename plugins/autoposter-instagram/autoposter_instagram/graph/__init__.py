"""What Meta's Graph API is for every product: envelope, error codes, versions, usage, tokens, uploads, listings.

This folder exists once, in autoposter-instagram; autoposter-facebook holds a link to it.  Facts and their sources: the
fact sheets of the two platforms, looked up in November 2026; what they call unsure stands in the READMEs.
"""
