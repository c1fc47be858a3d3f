"""Random histories of all scripts against a real server and a small model (rig R1)."""
