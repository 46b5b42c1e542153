# One image for all processes; which one it is, the command says.
FROM python:3.12-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# With the drivers of every remote system: a catalog decides later which are used.
COPY requirements.txt requirements-extras.txt .
RUN python -m venv /venv && /venv/bin/pip install --quiet --require-hashes -r requirements.txt -r requirements-extras.txt

FROM python:3.12-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ENVIRONMENT=production DATA_DIR=/data
RUN useradd --system --uid 10001 --home-dir /data --create-home --shell /usr/sbin/nologin ductape
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
RUN python -m compileall -q /venv/lib /app
USER ductape
EXPOSE 8000
# The API's health; migrate has none, a worker or scheduler another one in docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "manage.py", "api"]
