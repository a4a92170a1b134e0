"""`gair models pull`: the one place that downloads."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gair_search.encoder import checksums, untrusted
from gair_search.encoder.models import (
    BUNDLED,
    WEIGHT_FILES,
    architecture_config,
    resolve,
    split_tag,
    tag_facts,
)
from gair_search.errors import ModelError

_PREFLIGHT_SECONDS = 6.0


def pull(name: str) -> Path:
    """Download a model's weights into the Hugging Face cache, where open_clip and others find them too.

    With them come the tokenizer and the config of the text tower that the model takes from elsewhere on the hub.

    Raises:
        ModelError: unknown name, no network (known within 10 s), refused or broken download.
    """
    import open_clip

    try:
        if ":" in name or name == BUNDLED:
            if name.startswith("hf-hub:"):
                _check_reachable(_hub_endpoint(), name)
                _pull_repository(name.removeprefix("hf-hub:"))
            spec = resolve(name)
            _pull_named_parts(spec.architecture, spec.config, name)
            return spec.weights_file
        architecture, tag = split_tag(name)
        facts = tag_facts(architecture, tag)
        _check_reachable(_hub_endpoint() if facts.get("hf_hub") else facts["url"], name)
        weights = Path(open_clip.pretrained.download_pretrained(facts))
        _pull_named_parts(architecture, architecture_config(architecture), name)
        return weights
    except ModelError:
        raise
    except Exception as error:  # the hub client, urllib and the file system each raise their own
        raise ModelError(f"{name} could not be downloaded: {error}") from error


def _pull_named_parts(architecture: str, config: Mapping[str, Any], name: str) -> None:
    """Fetch what a model's config names elsewhere on the hub: a tokenizer, a text tower's config. No code."""
    import open_clip
    from huggingface_hub import hf_hub_download

    text = config["text_cfg"]
    tower = text.get("hf_model_name")
    # a folder holds a tokenizer of its own
    tokenizer = text.get("hf_tokenizer_name") and not architecture.startswith("local-dir:")
    if not (tokenizer or tower):
        return
    _check_reachable(_hub_endpoint(), name)
    if tower and not Path(tower).is_dir():
        hf_hub_download(tower, "config.json")
    if tokenizer:
        with untrusted.nothing_run(offline=False):
            open_clip.get_tokenizer(architecture, trust_remote_code=False)


def _pull_repository(repo: str) -> None:
    """Fetch a repository in open_clip's hub format: config, tokenizer, one weights file, generator."""
    from huggingface_hub import HfApi, snapshot_download

    files = HfApi().list_repo_files(repo)
    weights = next((file for file in WEIGHT_FILES if file in files), None)
    if weights is None:
        raise ModelError(f"hf-hub:{repo} has no weights; expected one of {', '.join(WEIGHT_FILES)}")
    wanted = ["*.json", "*.txt", "*.model", weights, "generator/*", checksums.CHECKSUMS]
    snapshot_download(repo, allow_patterns=wanted)


def _hub_endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _check_reachable(url: str, name: str) -> None:
    """Raise ModelError unless the host of `url` answers within seconds; the hub client itself retries for minutes."""
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    def ask() -> None:
        try:
            urllib.request.urlopen(
                urllib.request.Request(url, method="HEAD"), timeout=_PREFLIGHT_SECONDS
            ).close()
        except urllib.error.HTTPError:
            pass  # an answer is an answer
        except (OSError, ValueError) as error:  # ValueError: HF_ENDPOINT is no address
            problems.append(str(getattr(error, "reason", error)))

    problems: list[str] = []
    if constants.HF_HUB_OFFLINE:
        problems.append("HF_HUB_OFFLINE is set")
    elif not _ends_within(ask, _PREFLIGHT_SECONDS + 1):
        problems.append(f"no answer within {_PREFLIGHT_SECONDS:.0f} s")
    if problems:
        raise ModelError(
            f"{name} can't be downloaded: {url} is not reachable ({problems[0]}). "
            f"Check the network, or copy the weights here and name them as ARCHITECTURE:FILE"
        )


def _ends_within(work: Callable[[], None], seconds: float) -> bool:
    """Run `work` in a daemon thread; whether it ended in time (looking up a host has no time-out of its own)."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
