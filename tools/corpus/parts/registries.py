"""Gets packages from Debian's archive and from npm into a cache folder.

Needs no root: apt-get keeps its lists in the cache folder too, and nothing is installed. What the
cache holds is used as it is, without asking any registry. A failure is retried once.
"""

import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import time

from . import files

STALL_SECONDS = 60  # a registry that sends nothing for so long is given up


class Outcome:
    """paths: package to file; missing: package to the reason it could not be had."""

    def __init__(self):
        self.paths, self.missing = {}, {}


def collect(packages, cache, options, progress):
    """Finds or downloads `packages`. options has npm, offline and refresh (booleans)."""
    registries = [kind(os.path.join(cache, kind.__name__.lower())) for kind in (Apt, Npm)]
    outcome, jobs = Outcome(), []
    with concurrent.futures.ThreadPoolExecutor(len(registries)) as pool:
        for registry, own in zip(registries, ([p for p in packages if not p.npm], [p for p in packages if p.npm])):
            have = {p: path for p in own if (path := registry.cached(p))}
            wanted = own if options.refresh and not options.offline else [p for p in own if p not in have]
            outcome.paths |= have
            why = "not in the cache, and --offline was given" if options.offline else registry.absent()
            if wanted and why:
                outcome.missing |= {p: why for p in wanted if p not in have}
            elif wanted:
                jobs.append((registry, pool.submit(registry.get, wanted)))
        while jobs and not all(job.done() for _, job in jobs):
            show(progress, [registry for registry, _ in jobs])
            time.sleep(0.1)
        for registry, job in jobs:
            paths, missing = job.result()
            outcome.paths |= paths
            outcome.missing |= {p: why for p, why in missing.items() if p not in outcome.paths}
    return outcome, sum(registry.received for registry, _ in jobs)


def show(progress, registries):
    done = sum(files.size_under(r.incoming) + r.received for r in registries)
    total = sum(r.expected for r in registries)
    progress.update(done / 1e6, "" if total else "reading package lists", max(total, done) / 1e6 if total else 0.0)


class Registry:
    """What apt and npm share: a folder of packages and one where downloads arrive."""

    def __init__(self, folder):
        self.folder = folder
        self.incoming = os.path.join(folder, "incoming")
        self.expected = self.received = 0  # bytes, for the progress line

    def prepare(self):
        shutil.rmtree(self.incoming, ignore_errors=True)
        os.makedirs(self.incoming)

    def store(self, name):
        """Moves a complete download into the cache, in place of older versions."""
        source, target = os.path.join(self.incoming, name), os.path.join(self.folder, name)
        self.received += os.path.getsize(source)
        for old in self.versions(re.match(self.NAME, name)[1]):
            if old != target:
                os.unlink(old)
        os.replace(source, target)
        return target


def run(command, watched, folder=None):
    """Runs a program; (success, output). Kills it when the `watched` folder doesn't change for long."""
    environment = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
    with open(os.path.join(watched, ".log"), "w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder, env=environment)
        size, since = -1, time.monotonic()
        try:
            while True:
                try:
                    process.wait(0.2)
                    break
                except subprocess.TimeoutExpired:
                    now = files.size_under(watched)
                    if now != size:
                        size, since = now, time.monotonic()
                    elif time.monotonic() - since > STALL_SECONDS:
                        process.kill()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        log.seek(0)
        output = log.read()
    os.unlink(os.path.join(watched, ".log"))
    return process.returncode == 0, output


def last_error(output):
    """The line of a program's output that says most about why it failed."""
    lines = [line for line in output.split("\n") if re.match(r"E: |npm error|npm ERR!|W: Failed", line)]
    return (lines or output.strip().split("\n") or [""])[0][:160] or "no answer"


class Apt(Registry):
    NAME = r"([^_]+)_"

    def absent(self):
        missing = [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]
        return f"{missing[0]} not found" if missing else ""

    def versions(self, name):
        return sorted(glob.glob(os.path.join(self.folder, glob.escape(name) + "_*.deb")), key=os.path.getmtime)

    def cached(self, package):
        for name in package.name.split("|"):
            if found := self.versions(name):
                return found[-1]
        return None

    def options(self):
        lists = os.path.join(self.folder, "lists")
        os.makedirs(os.path.join(lists, "partial"), exist_ok=True)
        settings = {
            "Dir::State::lists": lists, "Dir::State::status": "/dev/null",  # whatever is installed here doesn't matter
            "Dir::Cache": self.folder, "Dir::Cache::archives": self.folder,
            "Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": "", "Acquire::Languages": "none",
            "Acquire::http::Timeout": "20", "Acquire::https::Timeout": "20", "Acquire::Retries": "0",
        }  # fmt: skip
        if os.geteuid() == 0:  # the sandbox user _apt may not be allowed into this folder
            settings["APT::Sandbox::User"] = "root"
        return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]

    def get(self, packages):
        """(paths, missing) of packages, alternatives resolved by what this Debian has."""
        self.prepare()
        names = [name for p in packages for name in p.name.split("|")]
        index, why = {}, ""
        for _ in range(2):
            _, output = run(["apt-get", *self.options(), "update"], self.folder)
            index, why = self.index(names), last_error(output)
            if index:
                break
        chosen = {p: next((n for n in p.name.split("|") if n in index), None) for p in packages}
        self.expected = sum(index[n][0] for n in chosen.values() if n)
        paths, missing = self.download({n: p for p, n in chosen.items() if n}, index)
        why = "no such package in Debian's lists here" if index else f"apt-get update: {why}"
        missing |= {p: why for p, n in chosen.items() if not n}
        if not missing:
            shutil.rmtree(os.path.join(self.folder, "lists"), ignore_errors=True)  # 20 MB nobody needs again
        shutil.rmtree(self.incoming, ignore_errors=True)
        return paths, missing

    def index(self, names):
        """name: (bytes, SHA-256) of the packages this Debian knows."""
        command = ["apt-cache", *self.options(), "show", "--no-all-versions", *names]
        shown = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ, LC_ALL="C")).stdout
        found = {}
        for record in shown.split("\n\n"):
            fields = dict(re.findall(r"^(Package|Size|SHA256): (.*)$", record, re.M))
            if len(fields) == 3:
                found[fields["Package"]] = (int(fields["Size"]), fields["SHA256"])
        return found

    def download(self, wanted, index):
        """All at once; what did not come, once more and one by one."""
        paths, why = {}, {}
        for batch in ([list(wanted)], [[n] for n in wanted]):
            for names in batch:
                names = [n for n in names if wanted[n] not in paths]
                if names:
                    _, output = run(["apt-get", *self.options(), "download", *names], self.incoming, self.incoming)
                    why |= {wanted[n]: last_error(output) for n in names}
                    paths |= {wanted[n]: path for n in names if (path := self.arrived(n, index[n][1]))}
        return paths, {p: reason for p, reason in why.items() if p not in paths}

    def arrived(self, name, checksum):
        for path in glob.glob(os.path.join(self.incoming, glob.escape(name) + "_*.deb")):
            if files.sha256(path) == checksum:
                return self.store(os.path.basename(path))
        return None


class Npm(Registry):
    NAME = r"(.+)-[^-]+\.tgz$"
    OPTIONS = ("--loglevel=error", "--ignore-scripts", "--prefer-offline", "--fetch-retries=0", "--fetch-timeout=30000")

    def absent(self):
        return "" if shutil.which("npm") else "npm not found"

    def versions(self, name):
        return glob.glob(os.path.join(self.folder, glob.escape(name) + "-*.tgz"))

    @staticmethod
    def file_name(package):
        return package.name.lstrip("@").replace("/", "-") + f"-{package.npm}.tgz"

    def cached(self, package):
        path = os.path.join(self.folder, self.file_name(package))
        return path if os.path.exists(path) else None

    def get(self, packages):
        paths, why = {}, {}
        for batch in ([packages], [[p] for p in packages]):
            for group in batch:
                group = [p for p in group if p not in paths]
                if group:
                    self.prepare()
                    specs = [f"{p.name}@{p.npm}" for p in group]
                    done, output = run(["npm", "pack", *self.OPTIONS, *specs], self.incoming, self.incoming)
                    why |= {p: last_error(output) for p in group}
                    if done:
                        paths |= {p: self.store(self.file_name(p)) for p in group}
        shutil.rmtree(self.incoming, ignore_errors=True)
        return paths, {p: reason for p, reason in why.items() if p not in paths}


def version_of(path):
    """The version a cached file's name carries."""
    name = os.path.basename(path)
    if name.endswith(".deb"):
        return name.split("_")[1].replace("%3a", ":").replace("%7e", "~")
    return name.removesuffix(".tgz").rsplit("-", 1)[1]
