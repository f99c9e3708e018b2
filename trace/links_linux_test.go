package trace

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A directory of another program's may go while it is searched for the names of a file.
func TestSearchGone(t *testing.T) {
	dir := t.TempDir() + "/d"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd) //nolint:errcheck // only looked at
	k, _, err := keyOf(fd, "")
	if err == nil {
		err = os.Remove(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := siblingSearch{harvester: &harvester{undoer: &undoer{journal: &journal{}}}, devices: map[uint64]bool{k.dev: true}, left: 1}
	if err := s.dir(t.Context(), spot{fd, "."}, "d"); err != nil {
		t.Error(err)
	}
}
