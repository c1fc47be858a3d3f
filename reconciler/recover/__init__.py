"""Opening a shard again: fence, drain, decide, rebuild, prove, open."""
