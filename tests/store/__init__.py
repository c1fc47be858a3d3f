"""Tests of `store`: migrations, queries, the ledger writer and the watermark."""
