# One image for every process of jobs-app: `web` (the default), `worker`, `scheduler`, `migrate`.

FROM python:3.13-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/jobs-app
ENV PATH=/opt/jobs-app/bin:$PATH
# The packages come first, so that a change of the source does not install them again.
COPY deploy/constraints.txt deploy/
RUN pip install --no-cache-dir --require-hashes -r deploy/constraints.txt
COPY pyproject.toml LICENSE README.md ./
COPY migrations/ migrations/
COPY jobs_app/ jobs_app/
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim-bookworm
# A numeric user that the host does not have. Kubernetes can see that it is not root.
RUN groupadd --gid 10001 jobs \
    && useradd --uid 10001 --gid jobs --no-create-home --home-dir /data --shell /usr/sbin/nologin jobs \
    && install --directory --owner=jobs --group=jobs --mode=0700 /data
COPY --from=build /opt/jobs-app /opt/jobs-app
COPY deploy/health.py /opt/jobs-app/health.py
ENV PATH=/opt/jobs-app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    JOBS_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
EXPOSE 5000
ENTRYPOINT ["jobs-app"]
CMD ["web"]
