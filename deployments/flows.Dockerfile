# Flows, workers, the judge: everything the lock has, from the project's folder: docker build -f deployments/flows.Dockerfile -t team/flows:1 .
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/pillars
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE prefect.toml ./
COPY pillars pillars
COPY tasks tasks
COPY flows flows
COPY projects projects
COPY deployments deployments
COPY configs configs
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .
ENV PILLARS_ROOT=/opt/pillars PILLARS_VAR=/var/lib/pillars PYTHONUNBUFFERED=1 HOME=/tmp
USER 10001
ENTRYPOINT ["pillars"]
CMD ["--help"]
