"""Read, check and complete the settings that `config.py` lists. Nothing here imports Flask or the application."""
