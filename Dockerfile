# One image for every part: the worker, the scheduler, the migration and the command line.
#
#   docker build --tag autoposter .
#   docker build --tag autoposter --build-arg PLUGINS="autoposter-mine==1.2" .    # with plugins from an index

FROM python:3.13-slim AS build
ARG PLUGINS=""
RUN python -m venv /opt/autoposter
WORKDIR /src
COPY . .
# Our own plugins, one folder each below plugins/, are installed too: one without an account does nothing.
RUN /opt/autoposter/bin/pip install --no-cache-dir --disable-pip-version-check \
        . $(find . -path './plugins/*' -name pyproject.toml -printf '%h ') ${PLUGINS}

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/autoposter --create-home autoposter
COPY --from=build /opt/autoposter /opt/autoposter
ENV PATH=/opt/autoposter/bin:$PATH PYTHONUNBUFFERED=1
USER autoposter
WORKDIR /var/lib/autoposter
# Both programs stop on SIGTERM.  Run the image with an init process (`init: true`, `--init`): periodiq installs no
# signal handler, and the kernel keeps a process 1 without one from being ended by SIGTERM.
STOPSIGNAL SIGTERM
# No health check: a worker that cannot do its work exits with 70 by itself, and the restart policy starts it again.
CMD ["dramatiq", "autoposter.actors"]
