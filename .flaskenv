FLASK_APP=flasky.py
FLASK_CONFIG=development
