package trace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
)

// absentJournal leaves a journal that says that there was nothing at a path.
func absentJournal(t *testing.T, staging, path string) *journal {
	t.Helper()
	j, err := newJournal(staging)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	k, st, err := keyOf(unix.AT_FDCWD, dir)
	if err != nil {
		t.Fatal(err)
	}
	before := plist.Entry{Path: dir[1:], Mode: plist.ModeFromUnix(uint32(st.Mode)), UID: st.Uid, GID: st.Gid, ModTime: timeOf(st.Mtime.Sec, int(st.Mtime.Nsec))}
	err = errors.Join(
		j.addJSON(recordVolume, volumeRecord{Device: k.dev, Path: []byte(dir), Ino: k.ino, Born: k.born, Boot: bootID()}),
		j.addInode(&inode{key: k, id: 2, nlink: st.Nlink, before: before}), j.add("N2 "+filepath.Base(path)), j.flush(),
	)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// A journal that another user left in a directory for everybody is not believed.
func TestJournalOfAnother(t *testing.T) {
	need.Root(t)
	staging, victim := filepath.Join(t.TempDir(), "[s]*"), filepath.Join(t.TempDir(), "victim")
	if err := errors.Join(os.Mkdir(staging, 0o777), os.WriteFile(victim, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	j := absentJournal(t, staging, victim)
	if err := errors.Join(j.close(), os.Lchown(j.path, 1, 1)); err != nil {
		t.Fatal(err)
	}
	if err := refuseUnfinished(staging); err != nil {
		t.Errorf("another's journal: %v", err)
	}
	if done, err := Recover(t.Context(), staging); err != nil || len(done) > 0 {
		t.Errorf("recovered %q, %v, want nothing", done, err)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Error(err)
	}
	if err := os.Lchown(j.path, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := refuseUnfinished(staging); !errors.Is(err, ErrUnfinished) {
		t.Errorf("our own journal: %v, want %v", err, ErrUnfinished)
	}
	if done, err := Recover(t.Context(), staging); err != nil || len(done) != 1 {
		t.Errorf("recovered %q, %v, want our own", done, err)
	}
	if _, err := os.Stat(victim); !os.IsNotExist(err) {
		t.Errorf("what was not there before: %v", err)
	}
}

// A run that is killed when it has made a file for records, and has none in it, leaves
// that number to the recovery.
func TestEmptyBatch(t *testing.T) {
	for _, text := range []string{"R{}", "R" + strings.Repeat(" ", maxBatch)} {
		j := absentJournal(t, t.TempDir(), filepath.Join(t.TempDir(), "none"))
		last := j.last
		err := errors.Join(os.WriteFile(filepath.Join(j.path, "log", fmt.Sprint(last+1)), nil, 0o600), j.close())
		if err != nil {
			t.Fatal(err)
		}
		if j, err = openJournal(j.path); err != nil {
			t.Fatal(err)
		}
		if _, err := j.read(); err != nil {
			t.Fatal(err)
		}
		if err := j.addAtLast(text); err != nil || j.last != last+1 {
			t.Errorf("record %d, %v, want %d", j.last, err, last+1)
		}
		if err := j.remove(); err != nil {
			t.Error(err)
		}
	}
}

// What is kept on another file system goes, too, when nothing is rolled back.
func TestNoRollBackLeavesNothing(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	shell(t, `mount -t tmpfs none "$1"; echo 1 >"$1/f"`, dir)
	defer shell(t, `umount "$1"`, dir)
	r, err := (&Method{NoRollBack: true}).Run(t.Context(), capture.Command{Args: []string{"rm", "f"}, Env: os.Environ(), Dir: dir, Staging: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// What shows the kernel gets no new names, which nobody could take back.
func TestNamesOfTheKernel(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	shell(t, `mount -t bpf none "$1"; mkdir "$1/old"`, dir)
	defer shell(t, `umount "$1"`, dir)
	r, err := (&Method{}).Run(t.Context(), capture.Command{
		Args: []string{"sh", "-c", "mkdir new; rmdir old; mkdir -p old"}, Env: os.Environ(), Dir: dir, Staging: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil || r.ExitCode != 0 {
		t.Errorf("%v, exit status %d", err, r.ExitCode)
	}
	if _, err := os.Stat(filepath.Join(dir, "old")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !os.IsNotExist(err) {
		t.Errorf("what was made: %v", err)
	}
}

// Other names of a file are not searched on a file system whose server does not answer.
func TestSearchWaitsForNoServer(t *testing.T) {
	need.Root(t)
	server, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		need.Lacks(t, "/dev/fuse", err)
	}
	dir := t.TempDir()
	shell(t, `mount -t tmpfs none "$1"; cd "$1"; mkdir dead hidden; echo 1 >f; ln f g; ln f hidden/h; mount -t tmpfs none hidden`, dir) // so that there is one to be searched for
	defer shell(t, `umount "$1/hidden" "$1"`, dir)
	dead := filepath.Join(dir, "dead")
	if err := unix.Mount("none", dead, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", server.Fd())); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dead, 0)                                          //nolint:errcheck // the next one tells
	end := time.AfterFunc(10*time.Second, func() { _ = server.Close() }) // then nobody waits any more
	r, err := (&Method{}).Run(t.Context(), capture.Command{Args: []string{"chmod", "600", "f"}, Env: os.Environ(), Dir: dir, Staging: t.TempDir()})
	if !end.Stop() {
		t.Error("waited for the server")
	}
	if err != nil {
		t.Fatal(err)
	}
	if l := cut(r.List, dir[1:]); len(l.Entries) != 2 {
		t.Errorf("listed %+v", l.Entries)
	}
	if err := errors.Join(r.Close(), server.Close()); err != nil {
		t.Error(err)
	}
}

// Runs that begin at the same moment, and recoveries beside them, take none for dead.
func TestBeginTogether(t *testing.T) {
	staging := t.TempDir()
	ended := make(chan error)
	const together = 8
	for range together {
		begin := func() error {
			for range 30 {
				if err := refuseUnfinished(staging); err != nil {
					return err
				}
				j, err := newJournal(staging)
				if err != nil {
					return err
				}
				done, err := Recover(t.Context(), staging)
				if _, gone := os.Stat(filepath.Join(j.path, "log")); err != nil || gone != nil || len(done) > 0 {
					return errors.Join(fmt.Errorf("recovered %q", done), err, gone)
				}
				if err := j.remove(); err != nil {
					return err
				}
			}
			return nil
		}
		go func() { ended <- begin() }()
	}
	for range together {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if left, err := os.ReadDir(staging); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
