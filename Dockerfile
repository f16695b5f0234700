# Three images from one checkout, each for a user of its own that is not root, on a read-only root:
#   mirror   sigmirror and sigkeys: a folder or a bucket, SQLite or PostgreSQL; cvdupdate
#   updater  sigupdate: YARA, and engines of kind `command`
#   clamd    sigupdate beside Debian's clamd and clamscan, which are of one version then
# BASE is any Debian with python3 (3.11 or later) and its venv.
ARG BASE=python:3.13-slim-bookworm

# hadolint ignore=DL3006
FROM ${BASE} AS build
ENV UV_PROJECT_ENVIRONMENT=/opt/sigmirror UV_CACHE_DIR=/tmp/uv UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy \
    UV_SYSTEM_CERTS=1 UV_COMPILE_BYTECODE=1 UV_NO_PROGRESS=1
RUN python3 -m venv /build \
    && /build/bin/pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY keys keys
COPY mirror mirror
COPY updater updater
# What uv.lock names, by its hashes, and the wheel of this checkout; an environment knows its own path, so
# each is made where it will lie. cvdupdate, by which ClamAV's network wants to be asked, has one of its own.
RUN mkdir /made \
    && set -- sync --quiet --frozen --no-default-groups --no-editable \
    && /build/bin/uv "$@" --extra yara && mv /opt/sigmirror /made/updater \
    && /build/bin/uv "$@" --extra server --extra s3 --extra postgres && mv /opt/sigmirror /made/mirror \
    && /build/bin/uv venv --quiet /opt/cvdupdate \
    && /build/bin/uv pip install --quiet --python /opt/cvdupdate/bin/python cvdupdate==1.2.0 \
    && rm -rf /tmp/uv

# hadolint ignore=DL3006
FROM ${BASE} AS base
RUN groupadd --gid 10001 sigmirror \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/sigmirror \
       --shell /usr/sbin/nologin sigmirror \
    && install -d -o 10001 -g 10001 /var/lib/sigmirror /var/lib/sigupdate \
    && install -d /etc/sigmirror
ENV PATH=/opt/sigmirror/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001

FROM base AS updater
COPY --from=build /made/updater /opt/sigmirror
CMD ["sigupdate", "daemon"]

FROM updater AS clamd
USER 0:0
# hadolint ignore=DL3008
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends clamav clamav-daemon \
    && rm -rf /var/lib/apt/lists/*
USER 10001:10001

FROM base AS mirror
COPY --from=build /made/mirror /opt/sigmirror
COPY --from=build /opt/cvdupdate /opt/cvdupdate
EXPOSE 8480
CMD ["sigmirror", "run"]
