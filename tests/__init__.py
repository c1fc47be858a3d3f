"""The tests: real servers, no fakes; one folder per room of the house."""
