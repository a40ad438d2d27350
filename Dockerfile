# The server of halluc on CPU, see compose.yaml. With `--build-arg TORCH_INDEX=URL`, torch comes from that index, such as the one
# that PyTorch keeps for builds without CUDA; from the default index it may bring gigabytes of CUDA packages.
FROM python:3.11-slim AS build

ARG TORCH_INDEX=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY constraints.txt ./
# Torch first and alone: with the pinned build in place, nothing installed later brings in another.
RUN python -m venv /opt/halluc \
    && /opt/halluc/bin/pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(sed -n '/^torch==/p' constraints.txt)"
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY halluc halluc
COPY retrieval retrieval
COPY calibration calibration
COPY training training
RUN /opt/halluc/bin/pip install --constraint constraints.txt '.[documents,postgres,serve]'

FROM python:3.11-slim

RUN useradd --create-home --uid 1000 halluc && install --directory --owner=halluc /data
COPY --from=build /opt/halluc /opt/halluc
ENV PATH=/opt/halluc/bin:$PATH HALLUC_HOME=/data/cache
USER 1000
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["halluc"]
CMD ["serve", "--host", "0.0.0.0"]
