package e2e

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// writers are patterns of who must have written some files of real installers.
var writers = map[string]map[string]string{
	"hello": {
		"A\t/usr/local/bin/hello":      "/usr/bin/install < * < make < sh",
		"A\t/usr/local/share/info/dir": "install-info < * < make < sh",
	},
	"bzip2": {
		"A\t/usr/local/bin/bzip2":              "cp < make < sh",
		"A\t/usr/local/bin/bzcmp":              "ln < make < sh",
		"A\t/usr/local/share/man/man1/bzcmp.1": "/bin/sh < make < sh",
		"A\t/usr/local/lib/libbz2.a":           "cp < /bin/sh < make < sh",
		"A\t/usr/local/share/man/man1":         "mkdir < /bin/sh < make < sh",
	},
	"cron-package": {
		"A\t/usr/sbin/cron":       "dpkg < sh",
		"A\t/usr/bin/crontab":     "dpkg < sh",
		"M\t/var/lib/dpkg/status": "dpkg < sh",
		"M\t/etc/group":           "*groupadd < addgroup < /bin/sh < dpkg < sh",
		"A\t/etc/systemd/system/multi-user.target.wants/cron.service": "/usr/bin/perl < /bin/sh < dpkg < sh",
	},
}

// TestProvenance has real installers captured by all methods with --provenance: each
// tells the same of who wrote what, and the tarball is the one that is made without.
// Under seccomp, make(1) runs eight jobs at once.
func TestProvenance(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges")
	for _, in := range installers {
		if want := writers[in.name]; want != nil {
			t.Run(in.name, func(t *testing.T) { testProvenance(t, in, want) })
		}
	}
}

func testProvenance(t *testing.T, in installer, want map[string]string) {
	base := newRoot(t, in)
	output(t, ".", "cp", "-p", binary, filepath.Join(base, "usr/bin"))
	flags := []string{"--name", "thing", "--version", "1", "--include", "/**", "--plist-format", "native"}
	for _, file := range in.volatile {
		flags = append(flags, "--exclude", "/"+file)
	}
	run := func(cmd *exec.Cmd, out string) files {
		t.Helper()
		cmd.Env = append(cmd.Env, "SOURCE_DATE_EPOCH=1700000000")
		loud(t, cmd)
		return theFiles(t, out)
	}
	inRoot := func(method string, more ...string) files {
		out := t.TempDir()
		return run(sandboxed(in.at(in.install), slices.Concat(flags, more, []string{"--method", method, "--root", base, "-o", out})...), out)
	}
	plain := inRoot("overlay")
	told := make(map[string]string)
	for _, method := range []string{"overlay", "fuse", "seccomp"} {
		var got files
		if method == "seccomp" {
			out := t.TempDir()
			args := slices.Concat([]string{"sandbox-install", "run", "--method", method, "--provenance", "-o", "/srv"}, flags, []string{"--", "sh", "-euc", in.install})
			got = run(entered(base, out, "export MAKEFLAGS=-j8; "+in.at(shellWords(args))), out)
		} else {
			got = inRoot(method, "--provenance")
		}
		sameFile(t, method, plain.tarball, got.tarball)
		told[method] = output(t, ".", binary, "plist", "print", "--by-program", got.plist)
		if told[method] != told["overlay"] {
			t.Errorf("%s tells\n%s\nand overlay\n%s", method, told[method], told["overlay"])
		}
	}
	by := make(map[string]string)
	who := ""
	for line := range strings.Lines(told["overlay"]) {
		line = strings.TrimSuffix(line, "\n")
		if path, ok := strings.CutPrefix(line, "\t"); ok {
			by[path] = who
		} else {
			who = line
		}
	}
	for path, want := range want {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(want), `\*`, ".*")
		if !regexp.MustCompile("^" + pattern + "$").MatchString(by[path]) {
			t.Errorf("%q was written by %q, want %q", path, by[path], want)
		}
	}
}
