"""
PostgreSQL: migrations, named queries, the pool, and the ledger writer.

System of record for everything that is not being sold this second. Knows of `engine` only its
words (`records`, `status`, `ids`), so that the ledger takes journal records as they are.
"""
