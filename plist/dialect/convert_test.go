package dialect

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/plist"
)

var treeNames = []string{"pkgsrc", "freebsd", "openbsd"}

// saidBy returns the items that are read where the dialect has written these:
// lines that mean nothing are left out, what is the Makefile's is a comment that
// oracles pass over, and so is the type of a file, where there is no word for it.
func saidBy(d *dialect, items []Item) []Item {
	var out []Item
	for _, it := range items {
		it.Line = 0
		if it.Kind == KindBlank || it.Kind == KindID || isMakefileComment(&it) {
			continue
		}
		if it.Kind != KindSample {
			it.Text = strings.TrimSpace(it.Text)
		}
		switch d.name {
		case "pkgsrc":
			if it.Kind == KindSample || it.Kind == KindUser || it.Kind == KindGroup {
				continue
			}
			it = it.ordinary()
			it.Type = ""
		case "freebsd":
			switch {
			case it.Kind == KindUser || it.Kind == KindGroup:
				continue
			case it.Kind == KindSample && it.Text == "":
				it.Kind = KindDir
			case it.Kind == KindRmdir:
				it.Kind, it.Path, it.Text = KindComment, "", strings.TrimSpace("@dirrm "+expand(it.Path, "%%", "%%"))
				it = it.ordinary()
			case it.Kind == KindSample: // stands in one line with its file
				last := len(out) - 1
				for out[last].Kind != KindFile {
					last--
				}
				file := out[last]
				file.Owner, file.Group, file.Mode = it.Owner, it.Group, it.Mode
				out = append(slices.Delete(out, last, last+1), file)
			}
			if it.Type != TypeInfo && it.Type != TypeShell && it.Type != TypeFonts || it.Kind == KindSample {
				it.Type = ""
			}
		case "openbsd":
			if it.Kind == KindRmdir {
				it.Kind = KindDir
			}
			if it.Kind == KindSample {
				it.Type = ""
			}
		}
		out = append(out, it)
	}
	return out
}

func isMakefileComment(it *Item) bool {
	return it.Kind == KindComment && strings.HasPrefix(it.Text, "Makefile: ")
}

// sayable writes items in a dialect, those apart that it refuses, and returns the
// text and what it took.
func sayable(t testing.TB, d *dialect, items []Item) (string, []Item) {
	t.Helper()
	var w writer
	var took []Item
	for i := range items {
		before := w
		before.b = w.b[:len(w.b):len(w.b)]
		err := d.render(&w, &items[i])
		if err == nil {
			took = append(took, items[i])
			continue
		}
		var refused *Unexpressible
		if !errors.As(err, &refused) || refused.Entry == "" && items[i].Path+items[i].Text != "" || refused.Line != items[i].Line {
			t.Fatalf("%+v: %v", items[i], err)
		}
		w = before
	}
	return string(w.b), took
}

// reread is what a dialect reads of a text that it has written, without what the
// writer adds for people.
func reread(t testing.TB, d *dialect, s string) []Item {
	t.Helper()
	items, err := parse(t, d.name, s).Items()
	if err != nil {
		t.Fatal(err)
	}
	return saidBy(d, items)
}

// thereAndBack converts a text and converts the result back. It fails where
// something was neither refused nor is there.
func thereAndBack(t testing.TB, from, to *dialect, s string) (said, refused int) {
	t.Helper()
	items, err := parse(t, from.name, s).Items()
	if err != nil {
		return 0, 0 // a NUL byte
	}
	there, took := sayable(t, to, items)
	want := saidBy(to, took)
	got := reread(t, to, there)
	sameItems(t, from.name+" to "+to.name, want, got, there)
	back, took := sayable(t, from, got)
	if len(took) < len(got) {
		t.Fatalf("%s to %s: what was written cannot be read back:\n%q", from.name, to.name, there)
	}
	sameItems(t, from.name+" to "+to.name+" and back", saidBy(from, want), reread(t, from, back), back)
	return len(took), len(items) - len(took)
}

func sameItems(t testing.TB, what string, want, got []Item, text string) {
	t.Helper()
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			t.Fatalf("%s: lost %+v of\n%q", what, want[i], text)
		case i >= len(want):
			t.Fatalf("%s: there is %+v too in\n%q", what, got[i], text)
		case !reflect.DeepEqual(want[i], got[i]):
			t.Fatalf("%s:\nwant %+v\n got %+v\nof\n%.2000q", what, want[i], got[i], text)
		}
	}
}

func TestConversionsLoseNothing(t *testing.T) {
	for _, from := range treeNames {
		for _, to := range treeNames {
			said, refused := 0, 0
			for name, s := range lists(t, from) {
				t.Run(name, func(t *testing.T) {
					n, k := thereAndBack(t, must2(find(from)), must2(find(to)), s)
					said, refused = said+n, refused+k
				})
			}
			t.Logf("%s to %s: %d items said, %d refused or without meaning", from, to, said, refused)
		}
	}
}

func must2(d *dialect, err error) *dialect {
	if err != nil {
		panic(err)
	}
	return d
}

// seeds gives a fuzz target our own lists, by the number of their format.
func seeds(f *testing.F, formats []string) {
	f.Helper()
	for i, format := range formats {
		names, err := filepath.Glob(filepath.Join("testdata", format, "*"))
		if err != nil || len(names) == 0 {
			f.Fatal(format, err)
		}
		for _, name := range names {
			s, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			for to := range formats {
				f.Add(uint8(i*len(formats)+to), string(s))
			}
		}
	}
}

func FuzzConvert(f *testing.F) {
	seeds(f, treeNames)
	for _, s := range []string{ // once lost something
		"@cwd\n", "/\n@pkgdir 0//\n@dir 0 /\n", "@sample \"\n@sample \"0 \"\n@mode 0 0\n0\n", "@mode 0\n#0\n", "@cwd \xe4\r\n", " 0\n@sample 0\n",
		"@pkgdir \f0\n@dir \f0\n", "@((0) 0\n@(0,0,0,0) 0\n", "%%A%%@ /b\n@ %%A%%b\n%%a%%%%NO_Ab%%c\n", "a\n@sample b\n@sample c\n", "a\n@comment b\n@sample c\n",
		"0\n@sample /\n",
	} {
		for n := range uint8(9) {
			f.Add(n, s)
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, s string) {
		from, to := treeNames[int(n)/3%3], treeNames[n%3]
		thereAndBack(t, must2(find(from)), must2(find(to)), s)
		var b strings.Builder
		if Convert(&b, from, "mtree", s) == nil {
			if _, err := ReadMtree(strings.NewReader(b.String())); err != nil && !strings.Contains(err.Error(), "mode") &&
				!strings.Contains(err.Error(), "without") && !strings.Contains(err.Error(), "order") && !strings.Contains(err.Error(), "below") {
				t.Fatalf("%q became %q: %v", s, b.String(), err)
			}
		}
	})
}

func FuzzMtree(f *testing.F) {
	seeds(f, []string{"mtree"})
	f.Add(uint8(0), ". type=dir\n/set type=file uid=7 mode=0600\n a\\040b \\\n  size=3 time=5.6 sha256=00\n c type=link link=\\#d\n d type=dir\n  e optional\n ..\n/unset uid\n./d/f type=char device=native,1,2\n")
	f.Fuzz(func(t *testing.T, _ uint8, s string) {
		l, err := ReadMtree(strings.NewReader(s))
		if err != nil {
			return
		}
		var b strings.Builder
		if err := WriteMtree(&b, l); err != nil {
			t.Fatal(err)
		}
		again, err := ReadMtree(strings.NewReader(b.String()))
		if err != nil {
			t.Fatalf("%q: %v", b.String(), err)
		}
		// What is told of its type only is written for others that are in it.
		kept := slices.DeleteFunc(l.Entries, func(e plist.Entry) bool { return again.Find(e.Path) == nil })
		if len(kept) != len(again.Entries) {
			t.Fatalf("%q became %q", s, b.String())
		}
		for i := range kept {
			if !kept[i].Same(&again.Entries[i]) {
				t.Fatalf("%+v became %+v in\n%q", kept[i], again.Entries[i], b.String())
			}
		}
	})
}
