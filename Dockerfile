# One image for every part of the service; a container's command says which part it is. DEVICE names the build of
# PyTorch, cpu or cu130 for GPUs. To add recipes of your own: FROM seqnorm:cpu, and pip install your package.
FROM python:3.11.14-slim-bookworm

# What torch.compile calls: a recipe's number `compile`.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*

ARG DEVICE=cpu
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/${DEVICE} "torch>=2.10,<3" "torchvision>=0.25,<1"

ARG EXTRAS=all,timm
WORKDIR /usr/src/seqnorm
COPY pyproject.toml README.md LICENSE ./
COPY seqnorm seqnorm
COPY trainers trainers
COPY search search
COPY service service
RUN pip install --no-cache-dir ".[${EXTRAS}]"
COPY docker/worker.sh /usr/local/bin/

# A new volume takes the owner of the folder that it is mounted on.
ENV SEQNORM_HOME=/var/lib/seqnorm
RUN useradd --create-home --uid 1000 seqnorm && install --directory --mode=700 --owner=seqnorm --group=seqnorm "$SEQNORM_HOME"
USER seqnorm
WORKDIR /home/seqnorm
