"""Templates of pages, a folder for each group."""
