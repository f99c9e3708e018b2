package trace

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
)

// What another process changes where the command works is told apart, is in no list,
// and stays.
func TestForeign(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	for _, name := range []string{"mine", "theirs", "alone"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	other := make(chan error)
	go func() {
		err := fmt.Errorf("the command did not begin")
		for range 1000 {
			if _, statErr := os.Stat(filepath.Join(dir, "begun")); statErr == nil {
				err = nil
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		for _, name := range []string{"theirs", "new", "done"} {
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644)
			}
		}
		other <- err
	}()
	r, err := (&Method{}).Run(t.Context(), capture.Command{
		Args: []string{"sh", "-euc", "echo x >mine; echo x >begun; until test -e done; do sleep 0.01; done"},
		Env:  os.Environ(), Dir: dir, Staging: t.TempDir(),
	})
	if err := <-other; err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, e := range cut(r.List, dir[1:]).Entries {
		paths = append(paths, e.Path)
	}
	if want := []string{"begun", "mine"}; !slices.Equal(paths, want) {
		t.Errorf("listed %q, want %q", paths, want)
	}
	var notes, want []plist.Note
	for _, n := range r.List.Notes {
		if n.Kind == plist.NoteForeign {
			notes = append(notes, n)
		}
	}
	for _, name := range []string{"done", "new", "theirs"} {
		want = append(want, plist.Note{Kind: plist.NoteForeign, Text: fmt.Sprintf("%q changed meanwhile, and not by the command's processes", dir+"/"+name)})
	}
	if !slices.Equal(notes, want) {
		t.Errorf("notes %q, want %q", notes, want)
	}
	for name, content := range map[string]string{"mine": "", "theirs": "x", "new": "x", "alone": ""} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != content {
			t.Errorf("%s holds %q afterwards, want %q: %v", name, got, content, err)
		}
	}
}
