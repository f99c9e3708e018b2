package infodir

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

const dir = `About it.
File: dir,	Node: Top	The top

* Menu:

Archiving
* Tar: (tar).                   Making tape archives.
                                  Old ones, too.
* Zip: (zip).                   Of another kind.

Texts
* Sed: (sed).                   Streams.
`

// TestInsert: an entry stands where it belongs, whatever others are there, and
// Remove is the inverse.
func TestInsert(t *testing.T) {
	for _, c := range []struct {
		name, text string
		entry      Entry
		behind     string // what it comes behind
	}{
		{"sorted", dir, Entry{"Archiving", "* Uu: (uu).  x", ""}, "Old ones, too.\n"},
		{"behind its neighbour", dir, Entry{"Archiving", "* Aa: (a).  x", "* Zip: (zip).                   Of another kind."}, "another kind.\n"},
		{"behind the heading", dir, Entry{"Archiving", "* zz: (z).  x", "Archiving"}, "Archiving\n"},
		{"first", dir, Entry{"Archiving", "* Aa: (a).  x", "* Gone: (gone). x"}, "Archiving\n"},
		{"last", dir, Entry{"Texts", "* Zz: (z).  x\n       more", ""}, "Streams.\n"},
		{"new section between", dir, Entry{"Browsing", "* B: (b).  x", "Browsing"}, "another kind.\n\nBrowsing\n"},
		{"new section at the end", dir, Entry{"Zeds", "* B: (b).  x", "Zeds"}, "Streams.\n\nZeds\n"},
		{"no section yet", "* Menu:\n", Entry{"Zeds", "* B: (b).  x", "Zeds"}, "* Menu:\n\nZeds\n"},
		{"no section any more", "* Menu:\n\n", Entry{"Zeds", "* B: (b).  x", "Zeds"}, "* Menu:\n\n\nZeds\n"},
	} {
		got, changed := Insert(c.text, c.entry)
		if !changed || !strings.Contains(got, c.behind+c.entry.Text+"\n") {
			t.Errorf("%s:\n%s", c.name, got)
		}
		if again, twice := Insert(got, c.entry); twice {
			t.Errorf("%s: twice:\n%s", c.name, again)
		}
		if back, changed := Remove(got, c.entry); !changed || back != c.text {
			t.Errorf("%s: back:\n%s", c.name, back)
		}
	}
	if got, changed := Insert("no menu\n", Entry{"A", "* b: (b).", ""}); changed {
		t.Errorf("inserted into what is no directory: %q", got)
	}
}

// TestInstallInfo: entries that install-info(1) added to a directory give the same
// directory when they are added here, and a directory without them when removed.
func TestInstallInfo(t *testing.T) {
	tool := need.Program(t, "install-info")
	d := t.TempDir()
	at := filepath.Join(d, "dir")
	text := ""
	for _, m := range []struct{ name, section, entry string }{
		{"tar", "Archiving", "* Tar: (tar).                   Making tape archives."},
		{"gzip", "Archiving", "* Gzip: (gzip).                 General (de)compression."},
		{"zed", "Zeds", "* zed: (zed).  Z."},
		{"multi", "Archiving", "* mm: (multi).  M.\n* aa: (multi)sub.  A."},
		{"abc", "Archiving", "* abc: (abc).  A very long description that install-info has to break in two lines."},
		{"between", "Middle", "* between: (between).  B."},
		{"first", "Aaa", "* first: (first).  F."},
	} {
		name := filepath.Join(d, m.name+".info")
		if err := os.WriteFile(name, []byte("x\nINFO-DIR-SECTION "+m.section+"\nSTART-INFO-DIR-ENTRY\n"+m.entry+"\nEND-INFO-DIR-ENTRY\n\x1f\nFile: x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(tool, name, at).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", m.name, err, out)
		}
		raw, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		after := string(raw)
		added := Added(text, after)
		if len(added) == 0 {
			t.Fatalf("%s: nothing was added to\n%s", m.name, after)
		}
		ours := text
		if ours == "" {
			ours = Preamble(after)
		}
		begun := ours
		for _, e := range added {
			ours, _ = Insert(ours, e)
		}
		if ours != after {
			t.Errorf("%s: we have\n%s\ninstall-info\n%s", m.name, ours, after)
		}
		for i := range added {
			ours, _ = Remove(ours, added[len(added)-1-i])
		}
		if ours != begun {
			t.Errorf("%s: taken away:\n%s\nwas\n%s", m.name, ours, begun)
		}
		text = after
	}
}

func FuzzInsert(f *testing.F) {
	f.Add(dir, "Archiving", "* A: (a).  B", "Archiving")
	f.Add("* Menu:\n \n 0\n", "", "* ", " ") // a line that would become the entry's
	f.Add("* Menu:\n\nA\n\n\n", "B", "* A: (a).  B", "")
	f.Fuzz(func(t *testing.T, text, section, entry, after string) {
		e := Entry{section, entry, after}
		got := parse("* Menu:\n" + section + "\n" + entry + "\n")
		if len(got) != 1 || got[0].Section != section || got[0].Text != entry || begin(lines(text)) < 0 || whole(text) != text {
			return
		}
		for _, l := range lines(text) { // an empty section would go, too
			if l == section+"\n" {
				return
			}
		}
		edited, _ := Insert(text, e)
		if back, ok := Remove(edited, e); !ok || back != text {
			t.Errorf("%q became %q and %q", text, edited, back)
		}
	})
}
