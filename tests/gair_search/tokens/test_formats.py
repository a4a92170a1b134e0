import errno
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from gair_search.errors import ConceptError
from gair_search.tokens import formats
from gair_search.tokens.custom_token import CustomToken
from gair_search.tokens.formats import read_token, write_token

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch")

WIDTH = 8
FACTS = {"preset": "mini", "step": "300"}
WRITTEN = [("diffusers", ".safetensors"), ("webui", ".safetensors"), ("webui", ".pt")]


def token(n: int = 3, name: str = "my-dress") -> CustomToken:
    vectors = np.random.default_rng(0).standard_normal((n, WIDTH)).astype(np.float32)
    vectors[0, :3] = -0.0, np.float32(1e-40), np.finfo(np.float32).max  # where a careless way would differ
    return CustomToken(name, vectors, "abc", "mini (m, weights 1, preprocessing 2)", "dress", FACTS)


@pytest.mark.parametrize(("format", "suffix"), WRITTEN)
@pytest.mark.parametrize("n", [1, 4])
def test_each_format_comes_back_bit_for_bit(
    tmp_path: Path, format: formats.Format, suffix: str, n: int
) -> None:
    file = tmp_path / f"another name{suffix}"
    assert write_token(token(n), file, format) == format
    read = read_token(file)
    assert read.vectors.tobytes() == token(n).vectors.tobytes()
    assert (read.vectors.dtype, read.vectors.shape) == (np.float32, (n, WIDTH))
    assert (read.name, read.text_tower, read.parent) == ("my-dress", "abc", "dress")
    assert (read.embedder, read.facts) == (token().embedder, FACTS)


def test_the_layouts_are_those_of_the_other_programs(tmp_path: Path) -> None:
    write_token(token(), tmp_path / "d.safetensors")
    assert list(load_file(tmp_path / "d.safetensors")) == ["<my-dress>"]
    write_token(token(), tmp_path / "w.safetensors", "webui")
    written = load_file(tmp_path / "w.safetensors")
    assert list(written) == ["emb_params"]
    assert (written["emb_params"].shape, written["emb_params"].dtype) == ((3, WIDTH), torch.float32)
    assert write_token(token(), tmp_path / "w.pt") == "webui"
    loaded = torch.load(tmp_path / "w.pt", weights_only=True)
    assert torch.equal(loaded["string_to_param"]["*"], torch.from_numpy(token().vectors))
    assert (loaded["string_to_token"], loaded["name"], loaded["step"]) == ({"*": 265}, "my-dress", 300)
    # a zip of today's torch has members that the web UI's modules/safe.py refuses
    assert not zipfile.is_zipfile(tmp_path / "w.pt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float32])
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_any_precision_becomes_float32(tmp_path: Path, dtype: torch.dtype, suffix: str) -> None:
    values = torch.linspace(-2, 2, 2 * WIDTH).reshape(2, WIDTH).to(dtype)
    (save_file if suffix == ".safetensors" else torch.save)({"<x>": values}, tmp_path / f"x{suffix}")
    read = read_token(tmp_path / f"x{suffix}")
    assert read.vectors.dtype == np.float32
    assert np.array_equal(read.vectors, values.float().numpy())


def test_files_of_others_say_no_text_tower(tmp_path: Path) -> None:
    """A concept library's `.bin` of one vector, a web UI's `.safetensors`, and old and new `.pt`."""
    vector = torch.arange(float(WIDTH))
    torch.save({"<cat-toy>": vector}, tmp_path / "learned_embeds.bin")
    read = read_token(tmp_path / "learned_embeds.bin")
    assert (read.name, read.text_tower, read.embedder) == ("cat-toy", "", "")
    assert np.array_equal(read.vectors, vector.numpy()[None])
    save_file(
        {"emb_params": torch.ones(2, WIDTH)}, tmp_path / "Easy_Neg.safetensors", {"text_tower": "not ours"}
    )
    read = read_token(tmp_path / "Easy_Neg.safetensors")
    assert (read.name, read.text_tower) == ("Easy_Neg", "")
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.ones(1, WIDTH))})
    plain = {"*": torch.ones(1, WIDTH)}
    for held, zipped in ((parameters, True), (plain, True), (plain, False)):
        content = {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": held, "step": 500}
        file = tmp_path / "style.pt"
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
        read = read_token(file)
        assert (read.name, read.facts) == ("style", {"step": "500"})
        assert np.array_equal(read.vectors, np.ones((1, WIDTH), np.float32))
    torch.save({**content, "name": "real-name"}, tmp_path / "renamed.pt")
    assert read_token(tmp_path / "renamed.pt").name == "real-name"
    assert read_token(tmp_path / "renamed.pt", "<mine>").name == "mine"


def test_the_content_tells_the_format_not_the_suffix(tmp_path: Path) -> None:
    write_token(token(), tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").rename(tmp_path / "a.bin")
    assert read_token(tmp_path / "a.bin").name == "my-dress"


def test_names_that_no_prompt_could_hold(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"<low poly!>": torch.ones(1, WIDTH)}, file)
    with pytest.raises(ConceptError, match=r'called "low poly!".*--name low-poly$'):
        read_token(file)
    assert read_token(file, "low-poly").name == "low-poly"
    with pytest.raises(ConceptError, match="no name for a concept"):
        read_token(file, "../x")


def test_of_several_tokens_the_name_picks_one(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    save_file({"<a>": torch.ones(1, WIDTH), "<b>": torch.zeros(1, WIDTH)}, file)
    for name in (None, "c"):
        with pytest.raises(ConceptError, match=r"2 tensors \(<a>, <b>\).*--name KEY"):
            read_token(file, name)
    assert read_token(file, "b").vectors.sum() == 0
    assert read_token(file, "<b>").name == "b"
    save_file({f"layer.{i}": torch.ones(1, WIDTH) for i in range(20)}, file)
    with pytest.raises(ConceptError, match=r"20 tensors .* and 12 more"):
        read_token(file)


class Bomb:
    """Runs a command where it is unpickled without care."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".safetensors"])
@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle", "text"])
def test_code_in_a_pickle_is_refused_and_never_run(tmp_path: Path, kind: str, suffix: str) -> None:
    canary, file = tmp_path / "canary", tmp_path / f"x{suffix}"
    bomb = Bomb(f"touch {canary}")
    if kind in ("zip", "legacy"):
        content = {"string_to_param": {"*": torch.ones(1, WIDTH)}, "name": bomb}
        torch.save(content, file, _use_new_zipfile_serialization=kind == "zip")
    else:
        file.write_bytes(pickle.dumps(bomb, protocol=0 if kind == "text" else 2))
    with pytest.raises(ConceptError) as caught:
        read_token(file)
    assert not canary.exists()
    if kind != "text":  # which is not even taken for a pickle
        assert "posix.system to be run" in str(caught.value)
        assert "safetensors, which can't hold code" in str(caught.value)
    pickle.loads(pickle.dumps(bomb))
    assert canary.exists(), "the bomb was a dud"


def written(content: Any, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def inflating_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(formats.MAX_BYTES + 1))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "PNG"),
        (b'{"a": 1}', "JSON"),
        (b"\x00" * 100, "no known kind"),
        (written({"<x>": torch.full((1, WIDTH), torch.nan)}), "NaN or infinite"),
        (written({"<x>": torch.full((1, WIDTH), 1e300, dtype=torch.float64)}), "NaN or infinite"),
        (written({"<x>": torch.ones(1, WIDTH, dtype=torch.int64)}), "torch.int64"),
        (written({"<x>": torch.ones(2, 2, WIDTH)}), r"shape \[2, 2, 8\]"),
        (written({"<x>": torch.ones(())}), r"shape \[\]"),
        (written({"<x>": torch.ones(0, WIDTH)}), r"shape \[0, 8\]"),
        (written({"<x>": torch.ones(500, WIDTH)}), "500 vectors"),
        (written({"<x>": torch.ones(1).expand(75, 10**12)}), "shape"),
        (written({"<x>": torch.ones(2, WIDTH).to_sparse()}), "sparse"),
        (written({"<x>": torch.ones(2, WIDTH, device="meta")}), "plain floating point"),
        (written({"clip_l": torch.ones(1, WIDTH), "clip_g": torch.ones(1, 12)}), "SDXL.*clip_l and clip_g"),
        (written({"epoch": 3}), "no tensors"),
        (written({"string_to_param": 3}), "no tensors"),
        (written([1, 2]), "pickled list"),
        (written(torch.ones(1, WIDTH)), "pickled Tensor"),
        (inflating_zip(), "unpacks to more than 64 MB"),
        (written({"string_to_param": torch.nn.ParameterDict()}, zipped=False), "damaged or no token"),
        (written({"<x>": torch.ones(9, 999)})[:2000], "damaged"),
        (written({"<x>": torch.ones(9, 999)}, zipped=False)[:2000], "damaged"),
    ],
)
def test_what_is_no_token_is_refused_with_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(ConceptError, match=said) as caught:
        read_token(tmp_path / "x.pt")
    assert str(tmp_path / "x.pt") in str(caught.value)
    assert "weights_only" not in str(caught.value)  # torch's own message advises to load it without care


def test_places_that_are_no_file_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    for place, said in (
        (tmp_path, "a folder"),
        (tmp_path / "none", "not there"),
        (tmp_path / "pipe", "no file"),
    ):
        with pytest.raises(ConceptError, match=f"is {said}"):
            read_token(place)
    with (tmp_path / "big.pt").open("wb") as file:
        file.truncate(formats.MAX_BYTES + 1)
    with pytest.raises(ConceptError, match="larger than 64 MB"):
        read_token(tmp_path / "big.pt")


@pytest.mark.parametrize("layout", range(len(WRITTEN)))
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, layout: int) -> None:
    format, suffix = WRITTEN[layout]
    file = tmp_path / f"x{suffix}"
    write_token(token(), file, format)  # type: ignore[arg-type]
    whole = file.read_bytes()
    for length in [*range(0, len(whole) - 1, 37), len(whole) - 1]:
        file.write_bytes(whole[:length])
        with pytest.raises(ConceptError):
            read_token(file)


FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin"])
@FUZZ
@given(
    start=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x02", b"\x10\x00\x00\x00\x00\x00\x00\x00{"]),
    rest=st.binary(max_size=300),
)
def test_random_bytes_are_refused(tmp_path: Path, suffix: str, start: bytes, rest: bytes) -> None:
    file = tmp_path / f"x{suffix}"
    file.write_bytes(start + rest)
    with pytest.raises(ConceptError):
        read_token(file)


@pytest.mark.parametrize("layout", range(len(WRITTEN)))
@FUZZ
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_flipped_byte_is_refused_or_harmless(tmp_path: Path, layout: int, place: int, value: int) -> None:
    format, suffix = WRITTEN[layout]
    file = tmp_path / f"x{suffix}"
    write_token(token(), file, format, overwrite=True)  # type: ignore[arg-type]
    content = bytearray(file.read_bytes())
    content[place % len(content)] = value
    file.write_bytes(content)
    try:
        read = read_token(file)
    except ConceptError:
        return
    assert np.isfinite(read.vectors).all()


def test_strange_metadata_is_only_text(tmp_path: Path) -> None:
    """What safetensors' own reader lets through can't break ours."""
    for metadata in (None, {}, {"format": "pt"}, {"format": "gair-search custom token 1", "name": "../x"}):
        save_file({"emb_params": torch.ones(1, WIDTH)}, tmp_path / "ok.safetensors", metadata)
        if metadata and "name" in metadata:
            with pytest.raises(ConceptError, match=r"\.\./x"):
                read_token(tmp_path / "ok.safetensors")
        else:
            assert read_token(tmp_path / "ok.safetensors").facts == {}
    header = json.dumps({"__metadata__": {"a": 1}}).encode()
    (tmp_path / "bad.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ConceptError, match="damaged"):
        read_token(tmp_path / "bad.safetensors")


def test_a_file_is_overwritten_only_on_demand(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(b"old")
    with pytest.raises(ConceptError, match=r"exists.*--force"):
        write_token(token(), file)
    assert file.read_bytes() == b"old"
    write_token(token(), file, overwrite=True)
    assert read_token(file).name == "my-dress"
    (tmp_path / "d.safetensors").mkdir()
    with pytest.raises(ConceptError, match="is a folder"):
        write_token(token(), tmp_path / "d.safetensors", overwrite=True)


@pytest.mark.parametrize(
    ("file", "format", "said"),
    [
        ("x.pt", "diffusers", "webui"),
        ("x.bin", None, r"x\.safetensors"),
        ("x", "webui", r"\.safetensors or \.pt"),
        ("x.safetensors", "sdxl", "no format"),
    ],
)
def test_names_that_do_not_fit_the_format_are_refused(
    tmp_path: Path, file: str, format: Any, said: str
) -> None:
    with pytest.raises(ConceptError, match=said):
        write_token(token(), tmp_path / file, format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("format", "suffix"), WRITTEN)
def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: formats.Format, suffix: str
) -> None:
    file = tmp_path / f"x{suffix}"
    file.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConceptError, match="can't be written: No space left"):
        write_token(token(), file, format, overwrite=True)
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
