FLASK_APP=flasky.py
FLASK_CONFIG=development
# The debugger runs code for everybody who reaches it, through a proxy or a tunnel too. `flask dev` has it for you alone.
FLASK_RUN_DEBUGGER=0
