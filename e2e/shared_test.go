package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// TestShared: what an installer does to the list of login shells and to the directory
// of Info manuals is done in another root as the installer does it there, and taken
// back.
func TestShared(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	const others = `
		printf 'INFO-DIR-SECTION Basics\nSTART-INFO-DIR-ENTRY\n* Other: (other).  Of another package.\nEND-INFO-DIR-ENTRY\n' >/tmp/other.info
		mkdir -p /usr/local/share/info; install-info /tmp/other.info /usr/local/share/info/dir; rm /tmp/other.info
		add-shell /usr/bin/other`
	for _, c := range []struct {
		in      installer
		prepare []string // scripts
		files   []string // that are shared
	}{
		{installers[0], []string{"true", others}, []string{"usr/local/share/info/dir"}},
		{installer{
			name: "shell-package", build: "true", install: "dpkg --force-depends -i ./*.deb",
			fetch: "mkdir src && cd src && private-apt -qq download rc libreadline8 readline-common",
		}, []string{others}, []string{"etc/shells"}},
	} {
		base := newRoot(t, c.in)
		got := captureIn(t, base, c.in.at(c.in.install))
		for _, prepare := range c.prepare {
			want, have := newRoot(t, c.in), base
			loud(t, native(want, prepare))
			loud(t, native(have, prepare))
			before := contents(t, have, c.files)
			loud(t, native(want, c.in.at(c.in.install)))
			loud(t, ours(have, "unpack", got.tarball))
			if w, h := contents(t, want, c.files), contents(t, have, c.files); h != w || h == before {
				t.Errorf("%s after %s: unpacked there is\n%s\nand natively\n%s", c.in.name, prepare, h, w)
			}
			loud(t, ours(have, "check", "thing"))
			loud(t, ours(have, "remove", "thing"))
			if h := contents(t, have, c.files); h != before {
				t.Errorf("%s after %s: removed there is\n%s\nand was\n%s", c.in.name, prepare, h, before)
			}
		}
	}
}

// contents is what files hold; one that is not there says so.
func contents(t testing.TB, root string, names []string) (all string) {
	t.Helper()
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			text = []byte(err.Error()[len("open "+root):])
		}
		all += name + ":\n" + string(text)
	}
	return all
}
