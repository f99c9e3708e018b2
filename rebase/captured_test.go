package rebase

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
	"github.com/sandbox-install/sandbox-install/rebase/rebasetest"
)

// captured makes the list of a bed's files, as a capture would.
func (b *bed) captured(paths ...string) *plist.List {
	list := &plist.List{Name: "a", Version: "1", Prefix: "/"}
	for _, path := range paths {
		content := b.read(path)
		list.Entries = append(list.Entries, plist.Entry{
			Op: plist.OpAdd, Path: path, Mode: 0o644, ModTime: time.Unix(1, 0), Size: int64(len(content)), Digest: digest(content),
		})
	}
	list.Sort()
	return list
}

func TestMoveCaptured(t *testing.T) {
	b := newBed(t)
	b.write(map[string]rebasetest.Options{
		"a.dll":   {Machine: rebasetest.AMD64, Base: defaultBase64, Signature: []byte("8 bytes!")},
		"b.dll":   {Machine: rebasetest.AMD64, Base: 0x340000000},
		"other":   {Machine: rebasetest.AMD64, Base: defaultBase64},
		"out.dll": {Machine: rebasetest.AMD64, Base: defaultBase64},
	})
	b.writeFile("elf.so", []byte("\x7fELF"))
	list := b.captured("a.dll", "b.dll", "elf.so", "other", "out.dll")
	link := *list.Find("a.dll")
	link.Path, link.Link = "link.dll", "a.dll"
	list.Entries = append(list.Entries, link)
	list.Sort()
	list.Find("out.dll").Class = plist.ClassOutside

	tree := plist.DirTree{Root: b.root.Root}
	c, err := MoveCaptured(context.Background(), list, tree, &Policy{Database: b.db, Target: TargetCygwin, DropSignature: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.List.Validate(); err != nil {
		t.Error(err)
	}
	before := b.read("a.dll")
	for _, name := range []string{"a.dll", "link.dll"} {
		e := c.List.Find(name)
		if e.Rebased == nil || e.Rebased.From != defaultBase64 || e.Rebased.To != 0x3fffe0000 || e.Rebased.Digest != digest(before) {
			t.Errorf("%s: declared as %+v", name, e.Rebased)
		}
	}
	if list.Find("a.dll").Rebased != nil {
		t.Error("the list that was given changed")
	}
	for _, name := range []string{"b.dll", "elf.so", "other", "out.dll"} {
		if e := c.List.Find(name); !e.Same(list.Find(name)) {
			t.Errorf("%s changed", name)
		}
	}
	b.install(c)
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	b.check()
	b.undoAll([]string{"/a.dll"})
	if !bytes.Equal(before, b.read("a.dll")) {
		t.Error("not restored")
	}
}

// install writes the content of a captured list to the bed, and holds it to what
// the list says.
func (b *bed) install(c *Captured) {
	b.Helper()
	for i := range c.List.Entries {
		e := &c.List.Entries[i]
		if !e.HasContent() {
			continue
		}
		content, err := readTree(c.Tree, e.Path)
		if err != nil || digest(content) != e.Digest || int64(len(content)) != e.Size {
			b.Errorf("%s: content is not what the list says: %v", e.Path, err)
		}
		if err := os.Remove(filepath.Join(b.dir, e.Path)); err != nil {
			b.Fatal(err)
		}
		b.writeFile(e.Path, content)
	}
}
