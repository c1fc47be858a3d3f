"""The chaos rigs can fail, and what they find stays found."""
