# Evently's own processes; which one runs is the command's choice (docker-compose.yml).
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONPATH=/app

WORKDIR /app

# Before the sources: this layer changes only with the lock file.
COPY requirements/runtime.txt requirements/runtime.txt
RUN pip install --require-hashes -r requirements/runtime.txt

RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin evently

COPY . .

USER evently
EXPOSE 8080
STOPSIGNAL SIGTERM
CMD ["python", "-m", "api"]
