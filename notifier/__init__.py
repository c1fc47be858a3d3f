"""
The notifier: tells people what is true, by mail.

It follows the journal's archive and the outbox, and sends what they give to tell, never before the
ledger has it (docs/NOTIFICATIONS.md).
"""
