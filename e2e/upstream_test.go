package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is a Perl module as CPAN has it, in a Debian source package.
func module(name string, packages ...string) installer {
	return installer{
		name: name, packages: append(packages, "perl"),
		// What Debian adds is not needed, and not on every mirror.
		fetch: "private-apt -qq source --only-source --download-only " + name + " || true; mkdir src && tar -xzf *.orig.tar.gz -C src --strip-components=1",
		build: "perl Makefile.PL && make", install: "make install",
	}
}

// autotools is a package whose configure Debian makes anew.
func autotools(name string) installer {
	return installer{
		name: name, packages: []string{"autoconf", "automake", "libtool", "pkg-config"},
		fetch: debianSource(name), build: "autoreconf -fi && ./configure && make", install: "make install",
	}
}

// upstreams are packages that a tree has a list of, and where ours differs from
// what its porter committed: lines of theirs behind "-", of ours behind "+". The
// lists are in the corpus beside the repository.
var upstreams = []struct {
	installer
	version string
	lists   map[string][]string // "tree/file" -> differences
}{
	{
		version:   "0.5.12",
		installer: autotools("dash"),
		lists:     map[string][]string{"openbsd/shells__dash__PLIST": nil, "pkgsrc/shells__dash__PLIST": nil},
	},
	{
		version:   "0.7.7",
		installer: autotools("libdmtx"),
		// The list is older than @static-lib.
		lists: map[string][]string{"openbsd/graphics__libdmtx__PLIST": {"-lib/libdmtx.a", "+@static-lib lib/libdmtx.a"}},
	},
	{installer: module("libset-scalar-perl"), version: "1.29", lists: map[string][]string{"openbsd/devel__p5-Set-Scalar__PLIST": nil}},
	{installer: module("libnet-traceroute-perl"), version: "1.15", lists: map[string][]string{"openbsd/net__p5-Net-Traceroute__PLIST": nil}},
	{installer: module("libcompress-bzip2-perl"), version: "2.28", lists: map[string][]string{"openbsd/archivers__p5-Compress-Bzip2__PLIST": nil}},
	{installer: module("liblocale-subcountry-perl"), version: "2.07", lists: map[string][]string{"openbsd/converters__p5-Locale-SubCountry__PLIST": nil}},
	{installer: module("libperlio-gzip-perl", "zlib1g-dev"), version: "0.20", lists: map[string][]string{"freebsd/archivers__p5-PerlIO-gzip__pkg-plist": nil}},
	{installer: module("libnet-jabber-perl"), version: "2.0", lists: map[string][]string{"freebsd/net-im__p5-Net-Jabber__pkg-plist": nil}},
}

// TestUpstream captures packages and compares the list that we write with the
// one that is in the ports tree, line by line.
func TestUpstream(t *testing.T) {
	require(t, "root", "overlay", "debian", "judges", "corpus")
	if !*all {
		t.Skip("builds several packages: -all")
	}
	for _, up := range upstreams {
		t.Run(up.name, func(t *testing.T) {
			out := t.TempDir()
			loud(t, sandboxed(up.at(up.installer.install), "--root", newRoot(t, up.installer), "-o", out, "--name", up.name, "--version", up.version, "--prefix", "/usr/local"))
			for list, want := range up.lists {
				theirs, err := os.ReadFile(filepath.Join(corpus(), list))
				if err != nil {
					t.Fatal(err)
				}
				tree, _, _ := strings.Cut(list, "/")
				ours, err := exec.Command(binary, "plist", "port", "--plist-format", tree, filepath.Join(out, up.name+"-"+up.version+".tar.zst")).Output()
				if err != nil {
					t.Fatal(err)
				}
				if got := lineDifferences(string(theirs), string(ours)); !slices.Equal(got, want) {
					t.Errorf("%s: differences\n%s\nwant\n%s", list, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
			}
		})
	}
}

// lineDifferences returns what is in one text only, whatever the order. Lines of
// version control differ always.
func lineDifferences(theirs, ours string) []string {
	count := make(map[string]int)
	for sign, text := range map[int]string{-1: theirs, +1: ours} {
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "@comment $") {
				count[strings.TrimSuffix(line, "\n")] += sign
			}
		}
	}
	var out []string
	for line, n := range count {
		switch {
		case n < 0:
			out = append(out, "-"+line)
		case n > 0:
			out = append(out, "+"+line)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(b, a) })
	return out
}

// corpus is the directory of real packing lists beside the repository.
func corpus() string {
	shared := os.Getenv("SANDBOX_INSTALL_SHARED")
	if shared == "" {
		shared = "../../shared"
	}
	return filepath.Join(shared, "corpus", "plist")
}
