"""Read, validate and complete the settings in `config.py`, without importing Flask or the application."""
