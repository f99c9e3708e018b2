package hashdiff

import (
	"fmt"
	"os"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
)

// TestRandom compares lists of random changes with the difference that outside
// tools see.
func TestRandom(t *testing.T) {
	need.Root(t)
	for round := range uint64(4) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			root, forest := t.TempDir(), forestOf(round)
			forest.Plant(t, root)
			j := &capturetest.Judge{Before: capturetest.Take(t, root)}
			before := scanAll(t, root)
			forest.Disturb(root)
			j.After = capturetest.Take(t, root)
			l, err := Diff(&slice{before}, &slice{scanWith(t, root, &slice{before})})
			if err != nil {
				t.Fatal(err)
			}
			j.Check(t, l, openTree(t, root))
		})
	}
}

// Two trees made alike have no difference, though their stamps have.
func TestTwoTrees(t *testing.T) {
	need.Root(t)
	one, two := t.TempDir(), t.TempDir()
	forestOf(0).Plant(t, one)
	forestOf(0).Plant(t, two)
	l, err := Diff(&slice{scanAll(t, one)}, &slice{scanAll(t, two)})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range l.Entries {
		t.Errorf("%+v", e)
	}
	for _, n := range l.Notes {
		t.Errorf("%+v", n)
	}
}

func openTree(t testing.TB, root string) plist.DirTree {
	t.Helper()
	r, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return plist.DirTree{Root: r}
}
