"""The pages, a module for each group of them; `web.app` has the list."""
