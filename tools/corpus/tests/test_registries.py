"""apt and npm as seen by the fetch script, played by shell scripts that fail on request."""

import hashlib
import os
import shutil
import stat
import tempfile
import time
import types
import unittest

from parts import progress, registries, sources

APT_GET = """#!/bin/sh
for word; do case $word in update|download) verb=$word;; esac; done
echo "$verb" >> "$SERVER/calls"
[ $verb = update ] && { [ -e "$SERVER/down" ] && { echo "W: Failed to fetch"; exit 100; }; exit 0; }
while [ "$1" != download ]; do shift; done; shift
status=0
for name; do
  if [ -e "$SERVER/$name.fails" ]; then rm "$SERVER/$name.fails"; echo "E: $name timed out"; status=100
  else cp "$SERVER/$name.deb" "${name}_1%3a2_all.deb"; fi
done
exit $status
"""
APT_CACHE = """#!/bin/sh
[ -e "$SERVER/down" ] && exit 100
cat "$SERVER/index"
"""
NPM = """#!/bin/sh
echo "npm $*" >> "$SERVER/calls"
for word; do case $word in *@*) [ -e "$SERVER/npm-down" ] && { echo "npm error code ETIMEDOUT"; exit 1; }
  : > "$(echo "${word%@*}" | sed 's/^@//; s,/,-,')-${word##*@}.tgz";; esac; done
"""


class Registries(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.cache = os.path.join(self.folder, "cache")
        self.server = os.path.join(self.folder, "server")
        os.makedirs(self.server)
        for name, script in (("apt-get", APT_GET), ("apt-cache", APT_CACHE), ("npm", NPM), ("dpkg-deb", "#!/bin/sh\n")):
            path = os.path.join(self.folder, name)
            self.put(path, script)
            os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)
        before = dict(os.environ)
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(before)))
        os.environ["PATH"] = self.folder + os.pathsep + os.environ["PATH"]
        os.environ["SERVER"] = self.server
        self.one, self.two = sources.Package("one"), sources.Package("old2|two")
        self.npm = sources.Package("@scope/three", "1.2.3")
        index = ""
        for name in ("one", "two"):
            self.put(os.path.join(self.server, name + ".deb"), name * 100)
            checksum = hashlib.sha256(name.encode() * 100).hexdigest()
            index += f"Package: {name}\nSize: {len(name) * 100}\nSHA256: {checksum}\n\n"
        self.put(os.path.join(self.server, "index"), index)

    def put(self, path, text=""):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def flag(self, name):
        self.put(os.path.join(self.server, name))

    def calls(self):
        with open(os.path.join(self.server, "calls"), encoding="utf-8") as file:
            return [line.split()[0] for line in file]

    def collect(self, *packages, **changes):
        options = types.SimpleNamespace(**({"offline": False, "refresh": False} | changes))
        return registries.collect(packages, self.cache, options, progress.Progress("x"))[0]

    def test_everything_arrives_and_is_used_again(self):
        packages = (self.one, self.two, self.npm)
        first = self.collect(*packages)
        self.assertEqual(first.missing, {})
        names = {p.name: os.path.basename(path) for p, path in first.paths.items()}
        self.assertEqual(names, {"one": "one_1%3a2_all.deb", "old2|two": "two_1%3a2_all.deb", "@scope/three": "scope-three-1.2.3.tgz"})
        self.assertEqual(sorted(self.calls()), ["download", "npm", "update"])
        self.assertEqual(self.collect(*packages).paths, first.paths)
        self.assertEqual(self.collect(*packages, offline=True).paths, first.paths)
        self.assertEqual(len(self.calls()), 3)
        self.collect(*packages, refresh=True)
        self.assertEqual(len(self.calls()), 6)

    def test_a_failed_download_is_tried_once_more(self):
        self.flag("one.fails")
        self.assertEqual(self.collect(self.one, self.two).missing, {})
        self.assertEqual(self.calls(), ["update", "download", "download"])

    def test_a_package_that_never_comes_is_missing_with_the_reason(self):
        os.unlink(os.path.join(self.server, "one.deb"))
        outcome = self.collect(self.one, self.two)
        self.assertEqual(list(outcome.paths), [self.two])
        self.assertEqual(list(outcome.missing), [self.one])

    def test_a_wrong_checksum_never_enters_the_cache(self):
        self.put(os.path.join(self.server, "one.deb"), "tampered")
        outcome = self.collect(self.one)
        self.assertEqual(outcome.paths, {})
        self.assertEqual([n for n in os.listdir(os.path.join(self.cache, "apt")) if n.endswith(".deb")], [])

    def test_unknown_packages(self):
        nameless = sources.Package("nameless")
        self.assertEqual(self.collect(self.one, nameless).missing, {nameless: "no such package in Debian's lists here"})

    def test_registries_that_are_down(self):
        self.flag("down")
        self.flag("npm-down")
        outcome = self.collect(self.one, self.npm)
        self.assertEqual(outcome.missing, {self.one: "apt-get update: W: Failed to fetch", self.npm: "npm error code ETIMEDOUT"})
        self.assertEqual(sorted(self.calls()), ["npm", "npm", "update", "update"])

    def test_offline_asks_nobody(self):
        outcome = self.collect(self.one, self.npm, offline=True)
        self.assertEqual(set(outcome.missing), {self.one, self.npm})
        self.assertFalse(os.path.exists(os.path.join(self.server, "calls")))

    def test_a_registry_that_sends_nothing_is_given_up(self):
        before, registries.STALL_SECONDS = registries.STALL_SECONDS, 0.3
        try:
            start = time.monotonic()
            done, _ = registries.run(["sleep", "60"], self.folder)
            self.assertFalse(done)
            self.assertLess(time.monotonic() - start, 30)
        finally:
            registries.STALL_SECONDS = before


if __name__ == "__main__":
    unittest.main()
