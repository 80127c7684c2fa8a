# The server as an image, for machines without an accelerator: docs/docker.md says how it is built, run and kept.
# Python is pinned here, every package by deploy/constraints.txt; --build-arg gives others.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG CONSTRAINTS=deploy/constraints.txt
# Address of a package index with torch's builds for CPUs. Without it torch comes from the usual index, perhaps with gigabytes of GPU libraries, and is then refused.
ARG TORCH_INDEX=
ENV PATH=/opt/clipcap/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/clipcap
WORKDIR /src
COPY ${CONSTRAINTS} constraints.txt
RUN pip install ${TORCH_INDEX:+--index-url="${TORCH_INDEX}"} --constraint constraints.txt torch \
 && python -c "import sys, torch; sys.exit(torch.version.cuda and 'this torch is built for CUDA: name an index with builds for CPUs, --build-arg TORCH_INDEX=...')"
COPY pyproject.toml README.md LICENSE ./
COPY recipes recipes
COPY clipcap_cli clipcap_cli
RUN pip install --constraint constraints.txt ".[offline,serve]"

FROM ${BASE}
RUN groupadd --gid 10001 clipcap \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin clipcap \
 && install --directory --owner=10001 --group=10001 /store
COPY --from=build /opt/clipcap /opt/clipcap
ENV PATH=/opt/clipcap/bin:$PATH CLIPCAP_HOME=/store CLIPCAP_OFFLINE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /store
EXPOSE 8080
# It raises, and so fails, where nothing answers or the answer is that the server is not ready.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
ENTRYPOINT ["clipcap", "serve", "--host", "0.0.0.0", "--port", "8080", "--api-key-file", "/run/secrets/clipcap-keys"]
CMD ["--model", "/model"]
