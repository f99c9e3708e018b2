package e2e

// debs are Debian packages with all that they depend on, installed by apt-get: one
// long run of maintainer scripts and triggers. They are fetched where they are to be
// installed, which knows what is there.
func debs(name, packages string, volatile ...string) installer {
	return installer{
		name: name, fetch: "mkdir src",
		build: "apt-get -qq update && apt-get -qq -y --no-install-recommends --download-only -o Dir::Cache::archives=$PWD/ install " + packages +
			" && rm -rf lock partial",
		install:  "apt-get -qq -y --no-install-recommends install \"$PWD\"/*.deb",
		volatile: append(volatile, "var/log/*", "var/log/apt/*", "var/cache/apt/*.bin", auxCache),
		secrets:  true,
	}
}

// builders are programs that build, and libraries.
var builders = []string{
	"g++", "cmake", "ninja-build", "scons", "perl", "libmodule-build-perl", "bison", "gettext", "texinfo",
	"libapr1-dev", "libaprutil1-dev", "zlib1g-dev", "libssl-dev", "libncurses-dev",
}

// moreInstallers take minutes each, and up to a gigabyte.
var moreInstallers = []installer{
	debs("daemons", "openssh-server avahi-daemon dbus", "etc/ssh/ssh_host_*", "var/lib/dbus/machine-id"), // keys, users, debconf
	debs("init", "systemd systemd-sysv udev libpam-systemd polkitd", "etc/machine-id", "var/lib/dbus/machine-id",
		"dev/*", "dev/net/*", "run/lock"), // modes of the machine's devices, which not every method shows
	debs("manuals-and-locales", "man-db locales rsyslog logrotate"),                            // mandb as another user, an archive that is mapped
	debs("kernel", "linux-image-cloud-amd64 initramfs-tools", "boot/initrd.img-*"),             // depmod, an archive of what is there
	debs("policy", "selinux-policy-default policycoreutils"),                                   // semodule: directories that trade places
	debs("java", "openjdk-17-jre-headless ca-certificates-java", "etc/ssl/certs/java/cacerts"), // a store with times in it
	debs("mail", "exim4-daemon-light bsd-mailx"),                                               // set-uid, configuration that scripts write
	debs("clock-and-console", "runit cron anacron exim4-config resolvconf keyboard-configuration console-setup tzdata"),
	debs("words", "docbook-xml wamerican cracklib-runtime ispell iamerican doc-base sgml-data", "var/lib/doc-base/info/files.yml"), // catalogs, hashed dictionaries
	debs("database", "postgresql", // a cluster, made by another user
		"etc/ssl/certs/ssl-cert-snakeoil.pem", "etc/ssl/private/ssl-cert-snakeoil.key", "var/lib/postgresql/15/main/global/pg_control",
		"var/lib/postgresql/15/main/pg_stat/pgstat.stat", "var/lib/postgresql/15/main/pg_wal/0*"),
	{
		name: "scons", packages: builders,
		fetch: debianSource("serf"), build: "scons PREFIX=/usr/local", install: "scons PREFIX=/usr/local install",
	},
	{
		name: "ninja", packages: builders,
		fetch: debianSource("yaml-cpp"), build: "cmake -G Ninja -S . -B out -DYAML_BUILD_SHARED_LIBS=ON -DYAML_CPP_BUILD_TESTS=OFF && ninja -C out",
		install: "ninja -C out install && ldconfig", secrets: true, volatile: []string{auxCache, "usr/src/*/src/out/.ninja_log"},
	},
	{
		name: "build-pl", packages: builders,
		fetch: debianSource("libparams-classify-perl"), build: "perl Build.PL && ./Build", install: "./Build install",
	},
	{
		name: "twice", packages: builders, // the second time moves what the first installed to .old
		fetch: debianSource("bash"), build: "./configure && make", install: "make install && make install",
	},
	{
		name: "go-install", packages: []string{"golang-go"}, // a cache of directories that nobody may write
		fetch: `mkdir -p src/proxy/example.org/tool/@v src/zip/example.org/tool@v1.0.0/inner && cd src/zip/example.org/tool@v1.0.0 &&
			printf 'module example.org/tool\ngo 1.19\n' >go.mod && printf 'package inner\nconst X = 1\n' >inner/x.go &&
			printf 'package main\nimport ("fmt"; "example.org/tool/inner")\nfunc main() { fmt.Println(inner.X) }\n' >main.go &&
			proxy=../../../proxy/example.org/tool/@v && cp go.mod $proxy/v1.0.0.mod && echo v1.0.0 >$proxy/list &&
			echo '{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}' >$proxy/v1.0.0.info && cd ../.. &&
			python3 -c 'import zipfile
z = zipfile.ZipFile("../proxy/example.org/tool/@v/v1.0.0.zip", "w")
for f in "go.mod", "main.go", "inner/x.go": z.write("example.org/tool@v1.0.0/" + f)'`,
		build: "true",
		install: `GOBIN=/usr/local/bin GOPATH=/opt/go GOPROXY=file://$PWD/proxy GOSUMDB=off GOFLAGS=-mod=mod
			export GOBIN GOPATH GOPROXY GOSUMDB GOFLAGS; go install example.org/tool@v1.0.0`,
		volatile: []string{"root/.cache/go-build/*", "root/.cache/go-build/*/*"}, secrets: true,
	},
	{
		name: "makeself", packages: []string{"makeself", "xz-utils"}, // a script that becomes another user in three ways
		fetch: `mkdir -p src/pay/bin && cd src/pay && printf '#!/bin/sh\necho 1\n' >bin/app && chmod 4755 bin/app && ln bin/app bin/twin && mkfifo queue &&
			head -c 300000 /dev/urandom >data && cat >setup <<'END' && chmod +x setup
#!/bin/sh -e
mkdir -p /opt/app; tar -cf - . | tar -C /opt/app -xpf -; ln -s /opt/app/bin/app /usr/local/bin/app
useradd -r -d /opt/app -s /bin/false appuser; chown -R appuser: /opt/app; chmod 2770 /opt/app/bin
runuser -u appuser -- touch /opt/app/mine; su -s /bin/sh -c 'echo 1 >/opt/app/yours' appuser
setpriv --reuid appuser --clear-groups mkdir /opt/app/sub; sync
END`,
		build: "makeself --xz pay app.run app ./setup", install: "./app.run --quiet", secrets: true,
	},
	{
		// An upgrade: a changed conffile stays, another goes; a directory, a file and a
		// link become one another; what is diverted is upgraded elsewhere.
		name: "upgrade",
		fetch: `mkdir src && cd src && for v in 1 2; do
				mkdir -p $v/DEBIAN $v/usr/lib/up $v/etc/up
				printf 'Package: up\nVersion: '$v'\nArchitecture: all\nMaintainer: a <a@b.c>\nDescription: up\n' >$v/DEBIAN/control
				echo $v >$v/usr/lib/up/ver; echo conf $v >$v/etc/up/conf; echo same >$v/etc/up/same
				printf '/etc/up/conf\n/etc/up/same\n' >$v/DEBIAN/conffiles
			done
			echo old >1/etc/up/obsolete; echo /etc/up/obsolete >>1/DEBIAN/conffiles; chmod 2755 2/usr/lib/up/ver
			mkdir 1/usr/lib/up/dir2link 2/usr/lib/up/real; echo 1 >1/usr/lib/up/dir2link/f; echo 1 >2/usr/lib/up/real/f; ln -s real 2/usr/lib/up/wanted
			echo 1 >1/usr/lib/up/file2dir; mkdir 2/usr/lib/up/file2dir; echo 2 >2/usr/lib/up/file2dir/f
			ln -s ver 1/usr/lib/up/link2file; echo 3 >2/usr/lib/up/link2file; ln 1/usr/lib/up/ver 1/usr/lib/up/hard
			printf '#!/bin/sh -e\nd=/usr/lib/up/dir2link; if [ -d $d ] && [ ! -L $d ]; then mv $d $d.old; fi\n' >2/DEBIAN/preinst
			printf '#!/bin/sh -e\nrm -rf /usr/lib/up/dir2link.old; ln -sfn real /usr/lib/up/dir2link\ndpkg-maintscript-helper rm_conffile /etc/up/obsolete 2~ -- "$@"\n' >2/DEBIAN/postinst
			chmod 755 2/DEBIAN/p*; for v in 1 2; do dpkg-deb --root-owner-group -b $v up_$v.deb; done`,
		build: "true",
		install: `dpkg -i up_1.deb && echo local >>/etc/up/conf && dpkg --force-confold -i up_2.deb && dpkg -i up_2.deb &&
			dpkg-divert --quiet --local --rename --add /usr/lib/up/ver && dpkg --force-confnew -i up_2.deb`,
		volatile: []string{"var/log/dpkg.log"},
	},
}
