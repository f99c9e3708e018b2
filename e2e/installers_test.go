package e2e

import "testing"

// An installer is real software that is installed as its authors meant it.
type installer struct {
	name     string
	packages []string // what its root needs besides a C compiler
	fetch    string   // makes the directory src, outside the root
	build    string   // makes it ready, in /usr/src/NAME/src in the root
	install  string   // what is captured, in the same place
	quick    bool     // belongs to the default run
	secrets  bool     // needs what only root may read: passwords, the caches of ldconfig(8)

	// volatile are patterns of files that say when or on which inodes they were
	// made: no two installations agree on their content.
	volatile []string
}

// debianSource fetches a source package from the mirror this machine uses.
func debianSource(name string) string {
	return "private-apt -qq source --only-source --download-only " + name + " && dpkg-source -x *.dsc src"
}

// ldconfig(8) keeps times and inode numbers here.
const auxCache = "var/cache/ldconfig/aux-cache"

var installers = []installer{
	{
		name: "hello", quick: true, // automake, gettext, info
		fetch: debianSource("hello"), build: "./configure && make", install: "make install",
	},
	{
		name: "zlib", quick: true, secrets: true, // configure written by hand, ldconfig in the rule
		fetch: debianSource("zlib"), build: "./configure && make", install: "make install",
		volatile: []string{auxCache},
	},
	{
		name: "bzip2", quick: true, // a plain Makefile
		fetch: debianSource("bzip2"), build: "make", install: "make install",
	},
	{
		name:  "sudo", // set-uid, owners, modes of directories that are there
		fetch: debianSource("sudo"), build: "./configure --without-pam && make", install: "make install",
	},
	{
		name: "cjson", packages: []string{"cmake"},
		fetch: debianSource("cjson"), build: "cmake -S . -B out && cmake --build out", install: "cmake --install out",
	},
	{
		name: "fuse3", packages: []string{"meson"}, // a set-uid program, a device node, an init script
		fetch: debianSource("fuse3"), build: "meson setup -Dudevrulesdir=/usr/lib/udev/rules.d -Dexamples=false -Dtests=false out && meson compile -C out",
		install: "meson install -C out",
	},
	{
		name: "perl-module", packages: []string{"perl"}, // appends to perllocal.pod
		fetch: debianSource("libtry-tiny-perl"), build: "perl Makefile.PL && make", install: "make install",
	},
	{
		name: "python-module", packages: []string{"python3-setuptools"}, // byte code
		fetch: `mkdir -p src/tool && cd src && echo 'def main(): print(1)' >tool/__init__.py &&
			echo 'from setuptools import setup
setup(name="tool", version="1", packages=["tool"], entry_points={"console_scripts": ["tool=tool:main"]})' >setup.py`,
		build: "python3 setup.py build", install: "python3 setup.py install --single-version-externally-managed --record installed",
	},
	{
		name: "cron-package", quick: true, secrets: true, // dpkg, maintainer scripts: a group, a set-gid program, a service
		fetch: "mkdir src && cd src && private-apt -qq download cron cron-daemon-common sensible-utils libpam-runtime", build: "true",
		install:  "dpkg --force-depends -i ./*.deb",
		volatile: []string{"var/log/dpkg.log"},
	},
	{
		name: "npm-package", packages: []string{"npm"},
		fetch: `mkdir -p src/bin && cd src && printf '#!/usr/bin/env node\nconsole.log(1)\n' >bin/tool.js && chmod +x bin/tool.js &&
			printf '{"name":"tool","version":"1.0.0","bin":{"tool":"bin/tool.js"}}\n' >package.json`,
		build:    "npm pack",
		install:  "npm install --global --offline --no-audit --no-fund --logs-max=0 ./tool-1.0.0.tgz",
		volatile: []string{"root/.npm/_cacache/index-v5/*/*/*"},
	},
}

// TestInstallers keeps laws L1 and L2 and the list of changes.
func TestInstallers(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	for _, in := range installers {
		if !in.quick && !*all {
			continue
		}
		t.Run(in.name, func(t *testing.T) { testInstaller(t, in, captureIn) })
	}
}
