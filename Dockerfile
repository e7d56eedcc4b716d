# The application as an image: an unprivileged user, and no writable path but /tmp (and /data, for SQLite).
# docs/containers.md shows how to run it. tests/extended/test_container.py runs every step of this file.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim-trixie AS build
WORKDIR /app
COPY requirements.txt ./
RUN python -m venv /venv \
    && /venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

FROM python:${PYTHON}-slim-trixie
ENV PATH=/venv/bin:$PATH \
    FLASK_APP=flasky.py \
    FLASK_CONFIG=production \
    PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=build /venv /venv
COPY config.py flasky.py gunicorn.conf.py ./
COPY settings settings
COPY migrations migrations
COPY app app
COPY translations translations
# Compile now: the running container can't write bytecode. A volume that is mounted at /data gets its owner.
RUN python -m compileall -q . \
    && install -d -o 10001 -g 10001 /data
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "from http.client import HTTPConnection as To; c = To('127.0.0.1', 8000, timeout=3); c.request('GET', '/healthz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["gunicorn", "--bind", "0.0.0.0:8000", "flasky:app"]
