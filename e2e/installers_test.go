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
	secrets  bool     // needs what only root may read: passwords, caches of ldconfig(8) and apt-get(8), root's home

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

// What git is to be built without.
const gitOptions = "prefix=/usr/local NO_CURL=1 NO_OPENSSL=1 NO_EXPAT=1 NO_GETTEXT=1 NO_TCLTK=1 NO_PERL=1 NO_PYTHON=1"

var installers = append([]installer{
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
		name: "xz", secrets: true, // libtool
		fetch: debianSource("xz-utils"), build: "./configure && make", install: "make install",
		volatile: []string{auxCache},
	},
	{
		name: "ncurses", packages: []string{"g++"}, // thousands of small files and links
		fetch: debianSource("ncurses"), build: "./configure --with-shared --without-debug && make", install: "make install",
		volatile: []string{auxCache, "usr/share/man/man*/*.gz"}, secrets: true, // gzip(1) keeps names, with the number of a process
	},
	{
		name: "git", packages: []string{"zlib1g-dev"}, // one program by a hundred names
		fetch: debianSource("git"),
		build: "make " + gitOptions, install: "make install " + gitOptions,
	},
	{
		name:  "zone-files", // hard links, made by zic(8)
		fetch: debianSource("tzdata"), build: "true",
		install: "zic -d /usr/local/share/zoneinfo africa antarctica asia australasia europe northamerica southamerica etcetera backward",
	},
	{
		name: "busybox", packages: []string{"busybox"}, // another name for a file that was there
		fetch: "mkdir src", build: "true", install: "mkdir /opt/hard /opt/soft && busybox --install /opt/hard && busybox --install -s /opt/soft",
	},
	{
		name: "wheel", packages: []string{"python3-pip", "python3-setuptools-whl"},
		fetch: "mkdir src", build: "true",
		install: "pip install --no-index --break-system-packages --root-user-action=ignore --ignore-installed /usr/share/python-wheels/setuptools-*.whl",
	},
	{
		name: "gem", packages: []string{"ruby"},
		fetch: `mkdir -p src/lib src/exe && cd src && echo 'module Tool; end' >lib/tool.rb && echo '#!/usr/bin/env ruby' >exe/tool && chmod +x exe/tool &&
			echo 'Gem::Specification.new do |s|
s.name, s.version, s.summary, s.author = "tool", "1", "a tool", "nobody"
s.files, s.bindir, s.executables = ["lib/tool.rb", "exe/tool"], "exe", ["tool"]
end' >tool.gemspec`,
		build: "gem build tool.gemspec", install: "gem install --local --document=ri ./tool-1.gem",
	},
	{
		name: "registry-package", packages: []string{"npm"}, // npm(1) is needed outside, too
		fetch: "mkdir src && cd src && npm pack --silent mkdirp@3.0.1", build: "true",
		install:  "npm install --global --offline --no-audit --no-fund --logs-max=0 ./mkdirp-*.tgz",
		volatile: []string{"root/.npm/_cacache/index-v5/*/*/*"},
		secrets:  true,
	},
	{
		name:     "desktop-packages", // triggers that make caches of icons, types of files, fonts
		fetch:    "mkdir src && cd src && private-apt -qq download shared-mime-info desktop-file-utils hicolor-icon-theme gtk-update-icon-cache fontconfig fontconfig-config fonts-dejavu-core libglib2.0-0 libxml2 libfontconfig1 libfreetype6 libexpat1 libpng16-16 libbrotli1 libicu72 libgdk-pixbuf-2.0-0 libgdk-pixbuf2.0-common libjpeg62-turbo libtiff6 libjbig0 libdeflate0 libwebp7 liblerc4 xterm libxaw7",
		build:    "true",
		install:  "dpkg --force-depends -i ./*.deb",
		volatile: []string{"var/log/dpkg.log", "var/log/alternatives.log", auxCache, "var/cache/fontconfig/*"},
		secrets:  true,
	},
	{
		name: "npm-package", packages: []string{"npm"},
		fetch: `mkdir -p src/bin && cd src && printf '#!/usr/bin/env node\nconsole.log(1)\n' >bin/tool.js && chmod +x bin/tool.js &&
			printf '{"name":"tool","version":"1.0.0","bin":{"tool":"bin/tool.js"}}\n' >package.json`,
		build:    "npm pack",
		install:  "npm install --global --offline --no-audit --no-fund --logs-max=0 ./tool-1.0.0.tgz",
		volatile: []string{"root/.npm/_cacache/index-v5/*/*/*"},
		secrets:  true,
	},
	{
		name: "self-extracting", // a vendor's .run: a script with a tarball at its end
		fetch: `mkdir -p src/pay/bin src/pay/lib && cd src && printf '#!/bin/sh\necho 1\n' >pay/bin/app && chmod 755 pay/bin/app &&
			head -c 100000 /dev/zero >pay/lib/data && ln -s data pay/lib/alias && ln pay/bin/app pay/bin/twin &&
			cat >head <<'END'
#!/bin/sh
set -e
tmp=$(mktemp -d /tmp/selfgz.XXXXXX); trap 'rm -rf "$tmp"' EXIT
sed '1,/^__PAYLOAD__$/d' "$0" | tar -xzf - -C "$tmp"
mkdir -p /opt/vendor/app-1.0 && cp -a "$tmp"/pay/. /opt/vendor/app-1.0/ && ln -sfn app-1.0 /opt/vendor/app
ln -sf /opt/vendor/app/bin/app /usr/local/bin/app; chown -R 0:0 /opt/vendor; chmod 4755 /opt/vendor/app/bin/app
echo 'PATH=$PATH:/opt/vendor/app/bin' >/etc/profile.d/app.sh; grep -q vendor /etc/ld.so.conf.d/vendor.conf 2>/dev/null || echo /opt/vendor/app/lib >/etc/ld.so.conf.d/vendor.conf
ldconfig; printf '#!/bin/sh\nrm -rf /opt/vendor\n' >/opt/vendor/app/uninstall; chmod 700 /opt/vendor/app/uninstall
exit 0
__PAYLOAD__
END
			tar -czf pay.tar.gz pay && cat head pay.tar.gz >app.run && chmod 755 app.run`,
		build: "true", install: "./app.run", volatile: []string{auxCache},
		secrets: true,
	},
	{
		name: "into-home", // what "curl | sh" runs: files in $HOME and a line in .bashrc
		fetch: `mkdir src && cd src && cat >install.sh <<'END'
set -eu
mkdir -p "$HOME/.tool/bin" "$HOME/.config/tool" "$HOME/.local/share/man/man1"
printf '#!/bin/sh\n' >"$HOME/.tool/bin/tool.tmp.$$"; chmod +x "$HOME/.tool/bin/tool.tmp.$$"; mv "$HOME/.tool/bin/tool.tmp.$$" "$HOME/.tool/bin/tool"
echo '. "$HOME/.tool/env"' >>"$HOME/.bashrc"; echo 'export PATH="$HOME/.tool/bin:$PATH"' >"$HOME/.tool/env"
for rc in .profile .zshrc; do if [ -f "$HOME/$rc" ]; then sed -i '$a . "$HOME/.tool/env"' "$HOME/$rc"; fi; done
chmod 700 "$HOME/.config/tool"; ln -s ../../../.tool/bin/tool "$HOME/.local/share/man/man1/tool"
END`,
		build: "true", install: "cat install.sh | sh",
		secrets: true,
	},
	{
		name:  "service-package", // adduser, debconf, systemd, update-alternatives
		fetch: "mkdir src && cd src && private-apt -qq download adduser tftpd-hpa nano init-system-helpers libwrap0", build: "true",
		install:  "dpkg --force-depends -i ./adduser*.deb ./init-system*.deb && dpkg --force-depends -i ./*.deb",
		volatile: []string{"var/log/dpkg.log", "var/log/alternatives.log", auxCache},
		secrets:  true,
	},
	{
		name:  "apt-packages", // apt-get, without the network
		fetch: "mkdir src && cd src && private-apt -qq download file libmagic1 libmagic-mgc", build: "true",
		install:  "apt-get -qq install --yes --no-install-recommends \"$PWD\"/*.deb",
		volatile: []string{"var/log/dpkg.log", "var/log/apt/*.log", "var/log/apt/*.xz", "var/cache/apt/*.bin", auxCache},
		secrets:  true,
	},
	{
		name: "purged-packages", packages: []string{"cron", "nano", "less"}, // an uninstallation: deletions, a group that goes
		fetch: "mkdir src", build: "true",
		install:  "apt-get -qq purge --yes --allow-remove-essential cron nano && dpkg --remove less",
		volatile: []string{"var/log/dpkg.log", "var/log/alternatives.log", "var/log/apt/*.log", "var/log/apt/*.xz", "var/cache/apt/*.bin", auxCache}, secrets: true,
	},
	{
		name: "rpm", packages: []string{"rpm"}, // another package manager, with scripts and a data base
		fetch: `mkdir src && cd src && cat >tool.spec <<'END'
Name: tool
Version: 1
Release: 1
Summary: a tool
License: none
BuildArch: noarch
%description
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc %{buildroot}/var/spool/tool
echo '#!/bin/sh' >%{buildroot}/usr/bin/tool; ln %{buildroot}/usr/bin/tool %{buildroot}/usr/bin/twin; echo a=1 >%{buildroot}/etc/tool.conf
%pre
echo tool:x:777: >>/etc/group
%post
ln -s tool.conf /etc/tool.link
%files
%attr(4755,root,root) /usr/bin/tool
/usr/bin/twin
%config(noreplace) /etc/tool.conf
%dir %attr(1770,root,777) /var/spool/tool
%ghost /var/log/tool.log
END`,
		build: "rpmbuild -bb --define '_rpmdir .' --define '_topdir /tmp/rpm' tool.spec", install: "rpm --install --nodeps noarch/*.rpm",
		volatile: []string{"root/.rpmdb/*"},
		secrets:  true,
	},
	{
		name: "stow", packages: []string{"stow"}, // a farm of links, folded and unfolded
		fetch: `mkdir -p src/stow/one/share/a src/stow/two/share/b src/stow/two/share/a && cd src/stow && echo 1 >one/share/a/1 && echo 2 >two/share/a/2 && echo 3 >two/share/b/3`,
		build: "true", install: "cp -R stow /opt && stow -d /opt/stow -t /usr/local one && stow -d /opt/stow -t /usr/local two",
	},
	{
		name:  "diversions", // old files that get other names, and modes that are overridden
		fetch: "mkdir src", build: "true",
		install: `dpkg-divert --quiet --local --rename --add /usr/bin/yes && ln -s yes.distrib /usr/bin/yes &&
			dpkg-divert --quiet --local --rename --divert /usr/share/elsewhere --add /usr/share/common-licenses/GPL-3 &&
			dpkg-statoverride --update --add root daemon 2750 /usr/bin/wall && update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/yes 100`,
		volatile: []string{"var/log/alternatives.log"},
	},
	{
		name: "certificates", packages: []string{"ca-certificates"}, // a bundle is made again, links by hash come and go
		fetch: "mkdir src && cd src && openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out own.crt -subj /CN=own -days 3650 2>/dev/null", build: "true",
		install: "cp own.crt /usr/local/share/ca-certificates && sed -i 's,^mozilla/A,!&,' /etc/ca-certificates.conf && update-ca-certificates",
	},
	{
		name: "rock", packages: []string{"luarocks"}, // Lua's
		fetch: `mkdir src && cd src && echo 'return 1' >tool.lua && echo 'package, version = "tool", "1-1"
source = { url = "file:///usr/src/rock/src/tool.lua" }
build = { type = "builtin", modules = { tool = "tool.lua" } }' >tool-1-1.rockspec`,
		build: "true", install: "luarocks make",
	},
}, moreInstallers...)

// TestInstallers keeps laws L1 and L2 and the list of changes: what an installation
// does natively is what each way of capturing it tells.
func TestInstallers(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	for _, in := range installers {
		if !in.quick && !*all {
			continue
		}
		t.Run(in.name, func(t *testing.T) {
			o := installed(t, in)
			t.Run("overlay", func(t *testing.T) { o.judge(t, captureIn) })
			t.Run("rootless", func(t *testing.T) { judgeRootless(t, o) })
		})
	}
}
