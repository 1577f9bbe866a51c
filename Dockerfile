# One image for every process of jobs-app: `web` (the default), `worker`, `scheduler`, `migrate`.

ARG PYTHON_IMAGE=python:3.13-slim-bookworm
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# The image needs no pip: the one of the base image installs for it.
RUN python -m venv --without-pip /opt/jobs-app
ENV PIP_PYTHON=/opt/jobs-app/bin/python
# The packages come first, so that a change of the source does not install them again.
COPY deploy/constraints.txt deploy/
RUN pip install --no-cache-dir --require-hashes -r deploy/constraints.txt
COPY pyproject.toml LICENSE README.md ./
COPY migrations/ migrations/
COPY jobs_app/ jobs_app/
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && pip uninstall --yes hatchling editables pathspec pluggy trove-classifiers

FROM ${PYTHON_IMAGE}
# The image needs no program that installs others: the virtual environment has none either.
RUN rm -rf "$(python -c 'import pip; print(*pip.__path__)')"* /usr/bin/pip* /usr/local/bin/pip*
# A numeric user that the host does not have. Kubernetes can see that it is not root.
# The account `commands` is for JOBS_SHELL_DEFAULT_USER.
RUN groupadd --gid 10001 jobs \
    && useradd --uid 10001 --gid jobs --no-create-home --home-dir /data --shell /usr/sbin/nologin jobs \
    && useradd --uid 10002 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin commands \
    && install --directory --owner=jobs --group=jobs --mode=0700 /data
COPY --from=build /opt/jobs-app /opt/jobs-app
COPY deploy/health.py /opt/jobs-app/health.py
ENV PATH=/opt/jobs-app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    JOBS_DATA_DIR=/data
# The last step but settings: another revision alone builds nothing again.
ARG REVISION="" SOURCE=""
LABEL org.opencontainers.image.title="jobs-app" \
    org.opencontainers.image.description="Scheduled jobs you can edit at run time and trust afterwards." \
    org.opencontainers.image.licenses="BSD-3-Clause" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.source="${SOURCE}"
USER 10001:10001
WORKDIR /data
EXPOSE 5000
ENTRYPOINT ["jobs-app"]
CMD ["web"]
