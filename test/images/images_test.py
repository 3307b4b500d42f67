#!/usr/bin/env python3
"""The archives of `make images`: an OCI layout whose digests are right, small, the same twice, and whose
programs run in them.

usage: images_test.py BUILD IMAGE…
"""
import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SKIPPED = 77
MOST_MEGABYTES = {"weft-ztunnel": 60}


class Failed(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failed(what)


def make(build, output, *words, check=True):
    done = subprocess.run([ROOT / "tools/make-images", build, "--output", output, *words], capture_output=True,
                          text=True, check=False, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    expect(done.returncode == 0 or not check, done.stderr)
    return done


class Layout:
    """An archive, with every blob's digest and size checked as it is read."""

    def __init__(self, path):
        with tarfile.open(path) as tar:
            self.files = {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}
        expect(json.loads(self.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}, "oci-layout")
        for name, data in self.files.items():
            if name.startswith("blobs/"):
                _, kind, digest = name.split("/")
                expect(kind == "sha256" and hashlib.sha256(data).hexdigest() == digest, f"{name} is not what it says")
        self.used = set()

    def blob(self, descriptor):
        kind, digest = descriptor["digest"].split(":")
        name = f"blobs/{kind}/{digest}"
        expect(name in self.files and len(self.files[name]) == descriptor["size"], f"{descriptor} is not there")
        self.used.add(name)
        return self.files[name]


def check_structure(image, path):
    """The layers, uncompressed, and the configuration."""
    layout = Layout(path)
    index = json.loads(layout.files["index.json"])
    expect(index["schemaVersion"] == 2 and len(index["manifests"]) == 1, "index.json")
    entry = index["manifests"][0]
    expect(entry["annotations"]["io.containerd.image.name"].startswith(f"localhost/{image}:"), "its name")
    manifest = json.loads(layout.blob(entry))
    config = json.loads(layout.blob(manifest["config"]))
    layers = [gzip.decompress(layout.blob(one)) for one in manifest["layers"]]
    sums = [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]
    expect(config["rootfs"] == {"type": "layers", "diff_ids": sums}, "diff_ids are not the layers'")
    expect(config["os"] == "linux" and entry["platform"]["architecture"] == config["architecture"], "platform")
    blobs = {name for name in layout.files if name.startswith("blobs/")}
    expect(layout.used == blobs, f"blobs that nothing names: {blobs - layout.used}")
    return layers, config


def unpack(layers, folder):
    for data in layers:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for entry in tar:
                parts = pathlib.PurePosixPath(entry.name).parts
                expect(entry.isfile() or entry.isdir(), f"{entry.name} is neither file nor folder")
                expect(".." not in parts and not entry.name.startswith("/"), f"{entry.name} leads out")
                expect(entry.uid == entry.gid == 0 and not entry.mode & 0o7022, f"{entry.name}: mode or owner")
            tar.extractall(folder, filter="data")


def check_runs(image, layers, config):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # a container's root is for everybody
        unpack(layers, folder)
        status = pathlib.Path(folder) / "var/lib/dpkg/status.d"
        expect((status / "libc6").read_text("utf-8").startswith("Package: libc6\n"), "status.d")
        program = config["config"]["Entrypoint"]
        user, group = config["config"]["User"].split(":")

        def become():
            os.chroot(folder)
            os.chdir("/")
            os.setgroups([])
            os.setgid(int(group))
            os.setuid(int(user))
        done = subprocess.run([*program, "--version"], capture_output=True, text=True, check=False, preexec_fn=become)
        expect(done.returncode == 0 and done.stdout.startswith(image.split("/")[-1]),
               f"{program} in its image: exit {done.returncode}: {done.stdout}{done.stderr}")
        # Nothing but the program: no shell, no package manager.
        expect(not (pathlib.Path(folder) / "bin/sh").exists(), "there is a shell in it")


def check(build, image):
    with tempfile.TemporaryDirectory() as folder:
        one, two = pathlib.Path(folder) / "one", pathlib.Path(folder) / "two"
        make(build, one, image)
        path = one / f"{image}.tar"
        size = path.stat().st_size / 1e6
        expect(size < MOST_MEGABYTES.get(image, 100), f"{size:.1f} MB")
        layers, config = check_structure(image, path)
        unpacked = sum(map(len, layers)) / 1e6
        expect(unpacked < MOST_MEGABYTES.get(image, 200), f"{unpacked:.1f} MB unpacked")
        check_runs(image, layers, config)
        make(build, two, image)
        expect(path.read_bytes() == (two / f"{image}.tar").read_bytes(), "made twice, it differs")
        print(f"ok    {image}: {size:.1f} MB, {unpacked:.1f} MB unpacked", flush=True)


def main():
    if os.geteuid() != 0:
        print("needs root: it runs the programs in their images")
        return SKIPPED
    build = pathlib.Path(sys.argv[1]).resolve()
    try:
        with tempfile.TemporaryDirectory() as folder:
            unknown = make(build, folder, "nginx", check=False)
            expect(unknown.returncode == 1 and "there is no image nginx" in unknown.stderr, "an image of others")
        for image in sys.argv[2:]:
            check(build, image)
    except Failed as problem:
        print(f"FAIL  {problem}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
