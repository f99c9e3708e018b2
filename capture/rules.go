package capture

import "github.com/sandbox-install/sandbox-install/plist"

// A Rule names paths that installers touch but that are no part of what they
// install, and says why.
type Rule struct {
	Name  string
	Class plist.Class // ClassNoise or ClassShared

	Below []string // absolute paths: they and all below
	Tails []string // last components, "info/dir": what ends so and all below
	Globs []string // doublestar patterns of absolute paths

	// Action is what belongs into a package instead of the file. Noise has none.
	Action string
}

// Rules returns the built-in rules; the first that matches counts.
//
// The names come from FreeBSD's check_leftovers.sh and check-stagedir.sh,
// pkgsrc's mk/check/check-files.mk, and Debian's triggers.
func Rules() []Rule { return rules }

var rules = []Rule{
	{Name: "proc", Class: plist.ClassNoise, Below: []string{"/proc"}},
	{Name: "sys", Class: plist.ClassNoise, Below: []string{"/sys"}},
	{Name: "dev", Class: plist.ClassNoise, Below: []string{"/dev"}},
	{Name: "run", Class: plist.ClassNoise, Below: []string{"/run", "/var/run", "/var/lock"}},
	{Name: "tmp", Class: plist.ClassNoise, Below: []string{"/tmp", "/var/tmp"}},
	{Name: "log", Class: plist.ClassNoise, Below: []string{"/var/log"}},
	{Name: "cache", Class: plist.ClassNoise, Below: []string{"/var/cache/apt", "/var/cache/debconf", "/var/cache/dnf", "/var/cache/pacman"}},
	{Name: "home", Class: plist.ClassNoise, Globs: []string{"/root/.*", "/root/.*/**", "/home/*/.*", "/home/*/.*/**"}},

	{
		Name: "package-database", Class: plist.ClassShared,
		Below: []string{
			"/var/lib/dpkg", "/var/lib/apt", "/var/lib/rpm", "/usr/lib/sysimage/rpm", "/var/lib/pacman", "/lib/apk/db", "/usr/lib/apk/db",
			"/var/db/pkg", "/var/lib/ucf", "/var/lib/sandbox-install", "/.sandbox-install.plist", "/var/lib/systemd/deb-systemd-helper-enabled", "/var/lib/systemd/deb-systemd-helper-masked", "/var/lib/systemd/deb-systemd-user-helper-enabled",
		},
		Action: "nothing: the target's own package manager keeps it",
	},
	{
		Name: "accounts", Class: plist.ClassShared,
		Below: []string{
			"/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid", "/etc/.pwd.lock",
			"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-",
			"/etc/master.passwd", "/etc/pwd.db", "/etc/spwd.db",
		},
		Action: "create the users and groups (useradd, groupadd; @newuser, PKG_USERS)",
	},
	{Name: "shells", Class: plist.ClassShared, Below: []string{"/etc/shells"}, Action: "add the line (add-shell; @shell, PKG_SHELL)"},
	{
		Name: "system-state", Class: plist.ClassShared,
		Below: []string{
			"/etc/mtab", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/machine-id", "/etc/adjtime", "/etc/localtime", "/etc/fstab", "/etc/ld.so.preload",
			"/var/lib/systemd/random-seed", "/var/lib/systemd/timers", "/var/lib/systemd/catalog/database",
			// What tells one machine from another: made by the first installation, and a
			// secret, or wrong, on any second one.
			"/var/lib/dbus/machine-id", "/etc/hostid", "/var/lib/systemd/credential.secret", "/var/lib/random-seed", "/var/lib/urandom/random-seed",
			"/var/lib/NetworkManager/secret_key", "/etc/iscsi/initiatorname.iscsi", "/etc/nvme/hostid", "/etc/nvme/hostnqn",
			"/etc/ssl/private/ssl-cert-snakeoil.key", "/etc/ssl/certs/ssl-cert-snakeoil.pem", "/etc/bind/rndc.key", "/etc/rndc.key",
		},
		Globs:  []string{"/etc/ssh/ssh_host_*_key", "/etc/ssh/ssh_host_*_key.pub", "/usr/local/etc/ssh/ssh_host_*_key", "/usr/local/etc/ssh/ssh_host_*_key.pub", "/usr/local/etc/ssh_host_*_key", "/usr/local/etc/ssh_host_*_key.pub"},
		Action: "nothing: it belongs to the machine",
	},
	{Name: "ld.so.cache", Class: plist.ClassShared, Below: []string{"/etc/ld.so.cache", "/var/cache/ldconfig"}, Action: "run ldconfig"},
	{Name: "info-dir", Class: plist.ClassShared, Tails: []string{"info/dir", "info/dir.old", "info/dir.gz"}, Action: "run install-info (@info, INFO_FILES)"},
	{Name: "icon-cache", Class: plist.ClassShared, Tails: []string{"icon-theme.cache"}, Action: "run gtk-update-icon-cache (ICON_THEMES)"},
	{
		Name: "mime-cache", Class: plist.ClassShared,
		Tails: []string{
			"applications/mimeinfo.cache", "mime/XMLnamespaces", "mime/aliases", "mime/generic-icons", "mime/globs", "mime/globs2", "mime/icons",
			"mime/magic", "mime/mime.cache", "mime/subclasses", "mime/treemagic", "mime/types", "mime/version",
			"share/mime/application", "share/mime/audio", "share/mime/chemical", "share/mime/font", "share/mime/image", "share/mime/inode",
			"share/mime/message", "share/mime/model", "share/mime/multipart", "share/mime/text", "share/mime/video",
			"share/mime/x-content", "share/mime/x-epoc", "share/mime/x-scheme-handler",
		},
		Action: "run update-mime-database and update-desktop-database",
	},
	{
		Name: "font-cache", Class: plist.ClassShared,
		Below:  []string{"/var/cache/fontconfig"},
		Tails:  []string{"fonts.dir", "fonts.scale", "fonts.cache-1", "encodings.dir", "fonts/.uuid"},
		Action: "run fc-cache and mkfontdir (FONTS_DIRS, @fontdir)",
	},
	{Name: "perllocal", Class: plist.ClassShared, Tails: []string{"perllocal.pod"}, Action: "nothing: each machine's perl keeps its own"},
	{Name: "python-bytecode", Class: plist.ClassShared, Tails: []string{"__pycache__"}, Action: "compile on the target (python -m compileall), or list it with the package"},
	{
		Name: "glib-cache", Class: plist.ClassShared,
		Tails:  []string{"glib-2.0/schemas/gschemas.compiled", "gio/modules/giomodule.cache", "immodules.cache", "loaders.cache"},
		Action: "run glib-compile-schemas, gio-querymodules, gdk-pixbuf-query-loaders or gtk-query-immodules",
	},
	{Name: "man-cache", Class: plist.ClassShared, Below: []string{"/var/cache/man"}, Tails: []string{"man/whatis", "man/mandoc.db"}, Action: "run mandb or makewhatis"},
	{Name: "tex-index", Class: plist.ClassShared, Tails: []string{"ls-R"}, Action: "run mktexlsr"},
	{Name: "cargo-crates", Class: plist.ClassShared, Tails: []string{".crates.toml", ".crates2.json"}, Action: "nothing: cargo records there what it has installed (cargo install --no-track does not)"},
	{Name: "ghc-packages", Class: plist.ClassShared, Tails: []string{"package.conf.d/package.cache", "package.conf.d/package.cache.lock"}, Action: "run ghc-pkg recache"},
	{Name: "xml-catalog", Class: plist.ClassShared, Below: []string{"/etc/xml/catalog", "/etc/xml/catalog.old", "/etc/sgml/catalog", "/etc/sgml/catalog.old"}, Tails: []string{"xml/catalog.ports"}, Action: "register the catalog (xmlcatalog, xmlcatmgr)"},
	{Name: "locale-archive", Class: plist.ClassShared, Below: []string{"/usr/lib/locale/locale-archive"}, Action: "run localedef or locale-gen"},
	{Name: "ca-certificates", Class: plist.ClassShared, Below: []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/java/cacerts", "/etc/pki/java/cacerts", "/etc/pki/ca-trust/extracted"}, Action: "run update-ca-certificates"},
	{
		Name: "kernel-modules", Class: plist.ClassShared,
		Tails: []string{
			"modules.alias", "modules.alias.bin", "modules.builtin.alias.bin", "modules.builtin.bin", "modules.dep", "modules.dep.bin",
			"modules.devname", "modules.softdep", "modules.symbols", "modules.symbols.bin", "modules.weakdep",
		},
		Action: "run depmod",
	},
	{Name: "boot-image", Class: plist.ClassShared, Below: []string{"/boot/grub/grub.cfg"}, Globs: []string{"/boot/initrd.img-*", "/boot/initramfs-*"}, Action: "run update-initramfs and update-grub"},
	{Name: "hardware-database", Class: plist.ClassShared, Tails: []string{"udev/hwdb.bin"}, Action: "run systemd-hwdb update"},
}
