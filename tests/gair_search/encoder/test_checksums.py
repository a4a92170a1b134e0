import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gair_search.encoder import checksums, models
from gair_search.errors import ModelError


def test_file_hashes_are_remembered_by_size_and_time(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "w"
    file.write_bytes(b"abc")
    assert checksums.file_hash(file) == hashlib.sha256(b"abc").hexdigest()
    assert len(json.loads((home / "cache" / "weights.json").read_text())) == 1
    file.write_bytes(b"abcd")
    assert checksums.file_hash(file) == hashlib.sha256(b"abcd").hexdigest()


def test_the_bundled_model_carries_its_checksums() -> None:
    folder = models.resolve("gair-mini").folder
    assert folder is not None
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    named = {line.split("  ")[1] for line in lines}
    assert named == {path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")}
    checksums.verify(folder, [folder / name for name in named])


def test_checksums_are_coreutils_own(tmp_path: Path) -> None:
    (tmp_path / "sub folder").mkdir()
    (tmp_path / "w.safetensors").write_bytes(b"abc")
    (tmp_path / "sub folder" / "v.bin").write_bytes(b"def")
    (tmp_path / "README.md").write_bytes(b"no weights")
    written = checksums.write_checksums(tmp_path)
    assert [line[66:] for line in written.read_text().splitlines()] == ["sub folder/v.bin", "w.safetensors"]
    if shutil.which("sha256sum"):
        subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True)
    checksums.verify(tmp_path, tmp_path.rglob("*"))
    written.write_text("\n" + written.read_text().upper().replace("  W.SAFETENSORS", " *./w.safetensors"))
    checksums.verify(tmp_path, [tmp_path / "w.safetensors"])
    (tmp_path / "w.safetensors").write_bytes(b"xyz!")
    with pytest.raises(ModelError) as caught:
        checksums.verify(tmp_path, [tmp_path / "w.safetensors"])
    said = str(caught.value)
    assert f"{tmp_path}/w.safetensors is damaged" in said
    assert hashlib.sha256(b"abc").hexdigest()[:12] in said
    assert hashlib.sha256(b"xyz!").hexdigest()[:12] in said
    assert "Fetch the model again" in said
    written.write_text("hello")
    with pytest.raises(ModelError, match="can't be read; expected lines"):
        checksums.verify(tmp_path, [])


def test_what_is_remembered_of_weights_hides_no_damage(home: Path, tmp_path: Path) -> None:
    """A file that rots keeps its size and time; what `file_hash` remembers of it is then wrong."""
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"abc")
    checksums.write_checksums(tmp_path)
    before = weights.stat()
    checksums.file_hash(weights)
    weights.write_bytes(b"abd")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    checksums._read_hash.cache_clear()  # as in the next process
    checksums._file_hash.cache_clear()
    with pytest.raises(ModelError, match="damaged"):
        checksums.verify(tmp_path, [weights])
