package rebase

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/winetest"
	"github.com/sandbox-install/sandbox-install/rebase/rebasetest"
)

// cygwinGolden holds what Cygwin's own rebase (4.4.4, compiled with MinGW) made
// of cygwinImages: a line for each with name, base and the digest of the masked
// file. TestCygwin writes it.
const cygwinGolden = "testdata/cygwin.golden"

// cygwinImages are images made here whose fixups Cygwin's tool finds.
func cygwinImages() map[string][]byte {
	images := make(map[string][]byte)
	for name, o := range map[string]rebasetest.Options{
		"one32.dll": {Machine: rebasetest.I386, Base: 0x10000000},
		"big32.dll": {Machine: rebasetest.I386, Base: 0x10000000, Pages: 50, Seed: 1},
		"one64.dll": {Machine: rebasetest.AMD64, Base: 0x180000000},
		"big64.dll": {Machine: rebasetest.AMD64, Base: 0x300000000, Pages: 50, Seed: 2},
		"low64.dll": {Machine: rebasetest.AMD64, Base: 0x10000000, Pages: 3, NoSum: true},
	} {
		images[name] = rebasetest.Image(o)
	}
	return images
}

// masked clears what Cygwin's tool gets wrong: the time stamp, which it sets to
// now, and the checksum, which it leaves as it was.
func masked(t *testing.T, file []byte) []byte {
	t.Helper()
	m, err := readBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	file = bytes.Clone(file)
	clear(file[m.optional-16:][:4])
	clear(file[m.checksumAt():][:4])
	return file
}

// TestCygwinGolden moves the images to where Cygwin's tool moved them.
func TestCygwinGolden(t *testing.T) {
	golden, err := os.ReadFile(cygwinGolden)
	if err != nil {
		t.Fatal(err)
	}
	images := cygwinImages()
	for line := range strings.Lines(string(golden)) {
		var name, want string
		var base uint64
		if _, err := fmt.Sscanf(line, "%s %v %s", &name, &base, &want); err != nil {
			t.Fatal(err)
		}
		if got := digest(masked(t, mustMove(t, images[name], base))); got.String() != want {
			t.Errorf("%s at %#x: ours differs from what Cygwin's rebase made", name, base)
		}
		delete(images, name)
	}
	if len(images) > 0 {
		t.Errorf("not in %s: %v", cygwinGolden, slices.Collect(maps.Keys(images)))
	}
}

// TestCygwin compares with Cygwin's own rebase, for whoever has it: the
// environment variable SANDBOX_INSTALL_CYGWIN_REBASE names a rebase.exe that Wine
// can run. It moves our images, which makes the golden file anew, and those of the
// shared corpus.
func TestCygwin(t *testing.T) {
	tool := os.Getenv("SANDBOX_INSTALL_CYGWIN_REBASE")
	if tool == "" {
		t.Skip("SANDBOX_INSTALL_CYGWIN_REBASE does not name Cygwin's rebase.exe")
	}
	w := winetest.New(t)
	images := cygwinImages()
	maps.Copy(images, corpusImages(t))
	moved := make(map[string][]byte)
	for flag, base := range map[string]string{"-8": "0x400000000", "-4": "0x70000000"} {
		maps.Copy(moved, cygwinRebase(t, w, []string{tool, flag, "-d", "-b", base}, images))
	}
	var golden []byte
	for _, name := range slices.Sorted(maps.Keys(moved)) {
		m, err := readBytes(moved[name])
		if err != nil {
			t.Fatal(err)
		}
		theirs := masked(t, moved[name])
		if !bytes.Equal(masked(t, mustMove(t, images[name], m.Base)), theirs) {
			t.Errorf("%s: moved to %#x, ours differs", name, m.Base)
		}
		if cygwinImages()[name] != nil {
			golden = fmt.Appendf(golden, "%s %#x %v\n", name, m.Base, digest(theirs))
		}
	}
	t.Logf("%d of %d images were moved by their tool", len(moved), len(images))
	if err := os.WriteFile(cygwinGolden, golden, 0o644); err != nil {
		t.Fatal(err)
	}
}

// cygwinRebase runs Cygwin's tool on images, and returns those that it moved.
func cygwinRebase(t *testing.T, w *winetest.Wine, command []string, images map[string][]byte) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(images)) {
		m, err := readBytes(images[name])
		if err != nil {
			t.Fatal(err)
		}
		if m.wide != slices.Contains(command, "-8") {
			continue // of the other width it would not go on
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, images[name], 0o644); err != nil {
			t.Fatal(err)
		}
		command = append(command, path)
	}
	w.Run(t, command...)
	moved := make(map[string][]byte)
	for name, before := range images {
		after, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && !bytes.Equal(before, after) {
			moved[name] = after
		}
	}
	return moved
}

// corpusImages are the images of the shared corpus that can be moved, and of
// which Cygwin's tool finds the fixups.
func corpusImages(t *testing.T) map[string][]byte {
	t.Helper()
	images := make(map[string][]byte)
	for _, name := range sharedCorpus(t) {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := readBytes(file)
		if err != nil || m.Signed() || len(m.fixups) == 0 || m.Machine == ARM64 || strings.Contains(name, "renamed") {
			continue
		}
		base := strings.ReplaceAll(filepath.Base(filepath.Dir(name))+"-"+filepath.Base(name), ".", "_") + ".dll"
		images[base] = file
	}
	return images
}
