"""The runbooks of docs/OPERATIONS.md, each walked against its real fault: `make runbooks`."""
