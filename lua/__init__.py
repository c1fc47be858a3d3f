"""One atomic operation per file; `engine.scripts` reads them (CONTRIBUTING.md, "Add a verb")."""
