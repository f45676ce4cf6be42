# The command in an image:
#
#   docker build -t sketchforge .
#   docker run --rm -v "$PWD:/work" sketchforge render --images photos/ --shards out/
#
# BASE         any image with Python >= 3.11 and pip. For a GPU either this one, for torch's wheels bring CUDA along, or
#              one that has CUDA and torch already, which is used then: --build-arg BASE=pytorch/pytorch:TAG
# TORCH_INDEX  where torch comes from, where that is not pip's default: the address of its CPU builds saves 5 GB
# EXTRAS       further parts, as in --build-arg EXTRAS=[onnx,remote]
ARG BASE=python:3.12-slim

FROM ${BASE} AS wheel
WORKDIR /source
COPY . .
RUN python3 -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${BASE}
ARG TORCH_INDEX=
ARG EXTRAS=
COPY --from=wheel /wheels /wheels
# In an environment of its own that sees the base image's packages, such as its torch.
RUN python3 -m venv --system-site-packages /opt/sketchforge \
    && if [ -n "$TORCH_INDEX" ]; then \
        /opt/sketchforge/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" torch torchvision; \
    fi \
    && /opt/sketchforge/bin/pip install --no-cache-dir "$(echo /wheels/sketchforge-*.whl)${EXTRAS}" \
    && rm -r /wheels \
    && useradd --create-home sketchforge \
    && mkdir -p /work \
    && chown sketchforge /work
ENV PATH=/opt/sketchforge/bin:$PATH
# Not root: files in a mounted folder belong to whom `docker run --user "$(id -u):$(id -g)"` names.
USER sketchforge
WORKDIR /work
ENTRYPOINT ["sketchforge"]
CMD ["--help"]
