"""Style, scripts and pictures, as they are served."""
