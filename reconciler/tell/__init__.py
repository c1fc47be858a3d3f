"""What happened and why, told from the journal."""
