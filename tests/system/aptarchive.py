# SPDX-License-Identifier: MIT
"""A made-up archive of packages for tests. APT_CONFIG points apt to it, and to lists and a state of their own."""

import contextlib
import hashlib
import http.server
import os
import shutil
import subprocess
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the archive, and of each package a part of it."""

    def do_GET(self):  # pylint: disable=invalid-name
        """One file."""
        path = self.server.pool / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:int(len(data) * self.server.part)] if path.suffix == ".deb" else data)

    def log_message(self, *_arguments):  # pylint: disable=arguments-differ
        """Nothing."""


class Archive:
    """An apt repository in a directory."""

    def __init__(self, top):
        self.pool = top / "archive"
        self.state = top / "state"
        self.root = top / "root"  # where packages are installed: dpkg's own idea of a root, with no maintainers' scripts
        for path in (self.pool, self.state / "lists/partial", self.state / "cache/archives/partial",
                     self.state / "etc", self.dpkg / "updates", self.dpkg / "info"):
            path.mkdir(parents=True)
        for name in ("status", "available"):
            (self.dpkg / name).touch()
        self.records = []
        self.reachable()

    @property
    def dpkg(self):
        """What dpkg knows of what is installed."""
        return self.root / "var/lib/dpkg"

    def reachable(self):
        """It is in a directory of this machine, as at first."""
        self.source(f"file:{self.pool}")

    def source(self, uri):
        """Names the place that the archive is reached at."""
        (self.state / "sources.list").write_text(f"deb [trusted=yes] {uri} ./\n", encoding="utf-8")
        (self.state / "apt.conf").write_text(f"""
            Dir::State "{self.state}"; Dir::State::lists "{self.state}/lists";
            Dir::State::status "{self.dpkg}/status"; Dir::Cache "{self.state}/cache";
            Dir::Etc "{self.state}/etc"; Dir::Etc::sourcelist "{self.state}/sources.list";
            Dir::Etc::sourceparts "{self.state}/etc"; Dir::Etc::main "/nonexistent";
            Dir::Etc::parts "{self.state}/etc"; Acquire::Retries "0"; APT::Sandbox::User "root";
            Acquire::http::Timeout "5"; #clear APT::Update::Post-Invoke-Success;
            #clear APT::Update::Post-Invoke;
            """, encoding="utf-8")

    def add(self, name, version, depends="", files=None, padding=0):
        """Makes a package, which the next index() lists. Returns its file."""
        tree = self.state / "make"
        shutil.rmtree(tree, ignore_errors=True)
        (tree / "DEBIAN").mkdir(parents=True)
        control = (f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
                   f"Maintainer: nobody <nobody@invalid>\nDescription: made up\n")
        control += f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN/control").write_text(control, encoding="utf-8")
        for path, content in {**(files or {}), f"usr/share/{name}": os.urandom(padding)}.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content if isinstance(content, bytes) else content.encode())
        deb = self.pool / f"{name}_{version.replace(':', '%3a')}_amd64.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, deb], check=True,
                       stdout=subprocess.DEVNULL)
        data = deb.read_bytes()
        self.records.append((name, f"{control}Filename: ./{deb.name}\nSize: {len(data)}\n"
                                   f"SHA256: {hashlib.sha256(data).hexdigest()}\n"))
        return deb

    def drop(self, *names):
        """Takes packages from the archive and from what index() lists."""
        self.records = [record for record in self.records if record[0] not in names]
        for name in names:
            for deb in self.pool.glob(f"{name}_*.deb"):
                deb.unlink()

    def index(self, seen=True):
        """Writes the list of packages; seen: this machine has already fetched it."""
        (self.pool / "Packages").write_text("\n".join(text for _, text in self.records),
                                            encoding="utf-8")
        if seen:
            subprocess.run(["apt-get", "-q", "update"], check=True, env=self.environment(),
                           stdout=subprocess.DEVNULL)

    def environment(self, **more):
        """The environment for apt, or for who calls it."""
        return dict(os.environ, APT_CONFIG=str(self.state / "apt.conf"), DPKG_ROOT=str(self.root), **more)

    @contextlib.contextmanager
    def served(self, part=1.0):
        """Serves the archive by HTTP, and of each package that part. Afterwards nobody answers."""
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.pool, server.part = self.pool, part
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            self.source(f"http://127.0.0.1:{server.server_address[1]}")
            if self.records:
                self.index()
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
