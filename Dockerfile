# The image of the gateway: Debian, its Python, the wheels that requirements.txt pins by their hashes, and the code.
# `make image` builds it; `make test-image` takes the same steps into a scratch root where no container engine is.

FROM debian:trixie-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv
COPY requirements.txt /build/requirements.txt
# pip stays in a place of its own, so that the result has none. Wheels alone: nothing is compiled, nothing runs.
RUN python3 -m venv /build/pip && python3 -m venv --without-pip /opt/gateway
RUN /build/pip/bin/python -m pip --python /opt/gateway/bin/python install --no-cache-dir --no-compile \
    --only-binary :all: --require-hashes --requirement /build/requirements.txt
COPY auth /opt/gateway/app/auth
COPY config /opt/gateway/app/config
COPY gateway /opt/gateway/app/gateway
COPY routing /opt/gateway/app/routing
# The root of a container is read-only, so Python could not keep what it compiles.
RUN /opt/gateway/bin/python -m compileall -q /opt/gateway/app /opt/gateway/lib

FROM debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
    && groupadd --gid 10001 gateway && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin gateway
COPY --from=build /opt/gateway /opt/gateway
ENV PATH=/opt/gateway/bin:/usr/local/bin:/usr/bin:/bin
ENV PYTHONPATH=/opt/gateway/app
ENV PYTHONDONTWRITEBYTECODE=1
# The default, 22, takes a privilege; what reaches the container from outside is for whoever runs it to say.
ENV SSH_PORT=2222
WORKDIR /tmp
USER 10001:10001
EXPOSE 9876 2222 9877
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python3", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('ADMIN_PORT', '9877') + '/healthz', timeout=4)"]
ENTRYPOINT ["python3", "-m", "gateway", "serve"]
