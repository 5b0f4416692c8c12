"""The environment variables of trials: an allow-list, since recipes are code of third parties.

A worker's own environment may hold a database's password, a cloud's keys or the tokens of other programs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import fields
from functools import cache

from search.private_files import create_privately
from search.settings import ENV_PREFIX, FILE_SUFFIX, Settings
from search.vocabulary.secret import Secret

ALLOWED = (  # NAME, or PREFIX* for all that begin so
    # the account and its folders
    *("HOME", "USER", "LOGNAME", "SHELL", "PATH", "PWD", "TMPDIR", "TMP", "TEMP", "XDG_*", "HOSTNAME"),
    # language, time, terminal
    *("LANG", "LANGUAGE", "LC_*", "TZ", "TERM", "COLUMNS", "LINES", "NO_COLOR"),
    # Python, the dynamic linker, compilers (torch.compile calls one)
    *("PYTHON*", "VIRTUAL_ENV", "CONDA_*", "LD_*", "DYLD_*", "MALLOC_*", "GLIBC_TUNABLES"),
    *("CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH"),
    # threads and kernels on CPUs
    *("OMP_*", "GOMP_*", "KMP_*", "MKL_*", "OPENBLAS_*", "BLIS_*", "NUMEXPR_*", "ATEN_*", "DNNL_*", "ONEDNN_*"),
    # accelerators, and what connects them
    *("CUDA_*", "CUDNN_*", "CUBLAS*", "NVIDIA_*", "NCCL_*", "GLOO_*", "UCX_*", "FI_*", "DALI_*"),
    *("HIP_*", "ROCM_*", "ROCR_*", "HSA_*", "MIOPEN_*", "ZE_*", "ONEAPI_*", "ASCEND_*", "TPU_*", "XLA_*", "NEURON_*"),
    # PyTorch and where models are kept
    *("TORCH*", "PYTORCH_*", "TRITON_*", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_ENDPOINT", "MPL*"),
    # the way to other hosts
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    # Ray and Tune, whose processes trials run in; ours, by which drivers find what they have started
    *("RAY_*", "TUNE_*", "SEQNORM_HOME", "SEQNORM_DRIVER"),
)
RAY_CREDENTIALS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")  # of drivers and of Ray's own processes, not of recipes
DATABASE_CREDENTIALS = ("PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE")

_SECRET_NAMES = re.compile(r"TOKEN|PASSW|SECRET|CREDENTIAL|API_?KEY|ACCESS_?KEY")  # within the prefixes
_CREDENTIALS = re.compile(r"://[^\s]*@")  # of a URL; a password may hold a slash


def select_variables(environ: Mapping[str, str], added: Collection[str] = ()) -> dict[str, str]:
    """Return the variables that trials get.

    Args:
        environ: the environment.
        added: more names and prefixes, from the operator or a command. The settings that hold secrets are never
            among them, nor are the credentials of Ray and of the database.
    """
    never = {*RAY_CREDENTIALS, *DATABASE_CREDENTIALS} | {
        ENV_PREFIX + setting.name.upper() for setting in fields(Settings) if isinstance(setting.default, Secret)
    }
    return {
        name: value
        for name, value in environ.items()
        if name.removesuffix(FILE_SUFFIX) not in never
        and (_matches(name, added) or (_matches(name, ALLOWED) and not _is_secret(name, value)))
    }


def reduce_environment(*added: str, keep: Collection[str] = ()) -> None:
    """Remove from this process's environment what trials do not get, except for ``keep``."""
    selected = select_variables(os.environ, added)
    for name in os.environ.keys() - selected.keys() - set(keep):
        del os.environ[name]


@cache  # once in a process: later, libraries have set variables of their own
def prepare_process(*added: str) -> None:
    """Prepare a process of Ray for code of recipes: reduce its environment, and have it create private files.

    Ray's own credentials go too: it has read them by then.
    """
    reduce_environment(*added)
    create_privately()


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(
        name.startswith(pattern.removesuffix("*")) if pattern.endswith("*") else name == pattern for pattern in patterns
    )


def _is_secret(name: str, value: str) -> bool:
    is_proxy = name.lower().endswith("_proxy")  # whose scheme may be left out
    return bool(_SECRET_NAMES.search(name) or _CREDENTIALS.search(value) or (is_proxy and "@" in value))
