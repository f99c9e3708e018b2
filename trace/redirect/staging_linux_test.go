//go:build amd64

package redirect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/need"
)

// Where TMPDIR is of no use another place is taken; from one that is mounted noexec, if
// that is what the user wants, nothing can be executed, and the result says so.
func TestStaging(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", "/none")
	staging, _, err := newStaging("")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(staging.Name()); err != nil {
		t.Error(err)
	}
	need.Root(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH) //nolint:errcheck // the namespace ends soon
	t.Setenv("TMPDIR", dir)
	if staging, _, err = newStaging(""); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(staging.Name()); err != nil || filepath.Dir(staging.Name()) == dir {
		t.Errorf("staging in %s, %v", staging.Name(), err)
	}
	r, err := (&Method{}).Run(t.Context(), capture.Command{Args: []string{"true"}, Env: os.Environ(), Dir: "/", Staging: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // tested elsewhere
	if notes := r.List.Notes; len(notes) != 1 || !strings.Contains(notes[0].Text, "noexec") {
		t.Errorf("notes %v", notes)
	}
}
