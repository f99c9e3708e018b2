package hashdiff

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
)

// samePicture compares all that outside tools see of a tree, but inode numbers: of
// those only who shares one with whom.
func samePicture(t testing.TB, got, want capturetest.Picture) {
	t.Helper()
	companies := func(p capturetest.Picture) map[string]string {
		names := make(map[string][]string)
		for path, s := range p {
			names[s.Inode] = append(names[s.Inode], path)
		}
		of := make(map[string]string)
		for path, s := range p {
			slices.Sort(names[s.Inode])
			of[path] = strings.Join(names[s.Inode], " = ")
		}
		return of
	}
	gotOf, wantOf := companies(got), companies(want)
	for path := range want {
		g, w := got[path], want[path]
		g.Inode, w.Inode = gotOf[path], wantOf[path]
		if g != w {
			t.Errorf("%q\n is %+v\nwas %+v", path, g, w)
		}
	}
	for path := range maps.Keys(got) {
		if _, ok := want[path]; !ok {
			t.Errorf("%q is new: %+v", path, got[path])
		}
	}
}

// livePlace is a forest on the live system, and the command that disturbs it.
func livePlace(t testing.TB, forest capturetest.Forest) (string, capture.Command) {
	t.Helper()
	need.Root(t)
	dir := t.TempDir()
	forest.Plant(t, dir)
	cmd := command("", forest)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args[0], cmd.Staging = self, t.TempDir()
	cmd.Env = append(cmd.Env, disturbRoot+"="+dir)
	return dir, cmd
}

// TestRollBack is laws L1 and L4 on the live system.
func TestRollBack(t *testing.T) {
	for round := range uint64(3) {
		forest := forestOf(round)
		dir, cmd := livePlace(t, forest)
		before, above := capturetest.Take(t, dir), modTime(t, cmd.Staging)
		result, err := (&Method{Scope: []string{dir}, RollBack: true}).Run(t.Context(), cmd)
		if err != nil {
			t.Fatal(err)
		}
		samePicture(t, capturetest.Take(t, dir), before)
		forest.Disturb(dir) // what the command did
		j := &capturetest.Judge{Before: below(dir, before), After: below(dir, capturetest.Take(t, dir)), Since: time.Now().Add(-time.Minute)}
		if len(result.List.Packed().Entries) < plots {
			t.Errorf("only %d entries: this tests nothing", len(result.List.Entries))
		}
		j.Check(t, result.List, result.Tree)
		if err := result.Close(); err != nil {
			t.Error(err)
		}
		isEmpty(t, cmd.Staging)
		wasNotWritten(t, cmd.Staging, above)
	}
}

// wasNotWritten compares the time of the directory of staging directories.
func wasNotWritten(t testing.TB, dir string, before time.Time) {
	t.Helper()
	if now := modTime(t, dir); !now.Equal(before) {
		t.Errorf("%s was written at %v, and %v before", dir, now, before)
	}
}

func modTime(t testing.TB, name string) time.Time {
	t.Helper()
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return st.ModTime()
}

// below gives a picture of a directory the entry paths of the whole system.
func below(dir string, p capturetest.Picture) capturetest.Picture {
	moved := make(capturetest.Picture)
	for path, s := range p {
		moved[strings.TrimPrefix(filepath.Join(dir, path), "/")] = s
	}
	return moved
}

func isEmpty(t testing.TB, dir string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range found {
		t.Errorf("left in staging: %s", d.Name())
	}
}

// A run that was killed after its command began is rolled back by Recover, even if
// that was killed before; one that is alive is left alone.
func TestRecover(t *testing.T) {
	forest := forestOf(7)
	dir, cmd := livePlace(t, forest)
	before, above := capturetest.Take(t, dir), modTime(t, cmd.Staging)
	s, err := newStaging(cmd.Staging)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{method: &Method{Scope: []string{dir}, RollBack: true}, cmd: cmd, staging: s}
	if err := r.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.execute(t.Context()); err != nil {
		t.Fatal(err)
	}
	if roots, err := Recover(t.Context(), cmd.Staging); err != nil || roots != nil {
		t.Errorf("recovered a run that is alive: %v, %v", roots, err)
	}
	if err := s.lock.Close(); err != nil { // as if killed
		t.Fatal(err)
	}
	forest.Disturb(dir) // as a roll back that was killed on its way might leave it
	roots, err := Recover(t.Context(), cmd.Staging)
	if err != nil || !slices.Equal(roots, []string{"/"}) {
		t.Errorf("recovered %v, %v", roots, err)
	}
	samePicture(t, capturetest.Take(t, dir), before)
	isEmpty(t, cmd.Staging)
	wasNotWritten(t, cmd.Staging, above)
}

// What the command made immutable or append-only, or took such a flag from, is
// put back too.
func TestRollBackFlags(t *testing.T) {
	dir, cmd := livePlace(t, forestOf(1))
	name := filepath.Join(dir, "fixed")
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	setFlag(t, name, unix.STATX_ATTR_APPEND)
	t.Cleanup(func() { setFlag(t, name, 0) })
	before := capturetest.Take(t, dir)
	cmd.Args = []string{"/bin/sh", "-c", "cd " + dir + " && chattr -a fixed && echo y >fixed && chattr +i fixed && echo z >new && chattr +i new"}
	result, err := (&Method{Scope: []string{dir}, RollBack: true}).Run(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	if result.ExitCode != 0 {
		t.Errorf("exit status %d", result.ExitCode)
	}
	if err := result.Close(); err != nil {
		t.Error(err)
	}
	samePicture(t, capturetest.Take(t, dir), before)
}

// What the command closed to an ordinary user is put back by that user, and what was
// closed before is left alone.
func TestRollBackClosed(t *testing.T) {
	dir := t.TempDir()
	sh := func(script string) {
		t.Helper()
		if out, err := exec.Command("sh", "-euc", script, "sh", dir).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	sh(`cd "$1"; mkdir -p old/below closed; echo 1 >old/read-only; echo 2 >old/below/f; echo 3 >closed/f
		chmod 444 old/read-only; chmod 555 old/below old; chmod 0 closed`)
	t.Cleanup(func() { sh(`chmod -R u+rwX "$1"; chmod -R u+rwX "$1"`) })
	look := func() string {
		cmd := exec.Command("find", dir, "-printf", "%p %m %u %T@ %s\n")
		out, err := cmd.Output()
		if err != nil && os.Geteuid() == 0 { // who is not may not look into what is closed
			t.Fatal(err)
		}
		lines := strings.Split(string(out), "\n")
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	before := look()
	cmd := command("", capturetest.Forest{})
	cmd.Staging, cmd.Dir, cmd.Env = t.TempDir(), dir, os.Environ()
	cmd.Args = []string{"/bin/sh", "-euc", `
		mkdir -p new/a; echo x >new/a/f; chmod 555 new/a new
		chmod 755 old old/below; rm old/below/f; chmod 644 old/read-only; echo x >old/read-only; chmod 0 old/read-only
		mkdir old/new; chmod 0 old/new old/below old
		test $(id -u) = 0 || chmod 700 closed`}
	result, err := (&Method{Scope: []string{dir}, RollBack: true}).Run(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	if err := result.Close(); err != nil || result.ExitCode != 0 {
		t.Errorf("exit status %d, %v", result.ExitCode, err)
	}
	if after := look(); after != before {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
	isEmpty(t, cmd.Staging)
	if os.Geteuid() != 0 {
		sh(`chmod 700 "$1/closed"; test $(cat "$1/closed/f") = 3`)
	}
}

// What of the scope is not there before the run is seen to come, from the first name
// that is missing, and is gone afterwards; a path of it that goes comes back.
func TestScopeNotThere(t *testing.T) {
	dir, cmd := livePlace(t, forestOf(1))
	if err := os.Mkdir(filepath.Join(dir, "goes"), 0o700); err != nil {
		t.Fatal(err)
	}
	before := capturetest.Take(t, dir)
	cmd.Args = []string{"/bin/sh", "-ec", "cd " + dir + "; mkdir -p new/a/b; echo x >new/a/b/c; rmdir goes"}
	m := &Method{Scope: []string{dir + "/new/a/b", dir + "/goes", dir + "/never"}, RollBack: true}
	result, err := m.Run(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range result.List.Entries {
		got = append(got, strings.TrimPrefix("/"+e.Path, dir+"/"))
	}
	if want := []string{"goes", "new", "new/a", "new/a/b", "new/a/b/c"}; !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	if err := result.Close(); err != nil {
		t.Error(err)
	}
	after := capturetest.Take(t, dir)
	after["."] = before["."] // it is not watched, and two names came and went in it
	samePicture(t, after, before)
}

// setFlag sets one inode flag, or none, of those that keep a file from being
// changed; the file system may not take away the others.
func setFlag(t testing.TB, name string, flag uint32) {
	t.Helper()
	f, err := os.Open(name)
	if err == nil {
		var flags uint32
		if flags, err = unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS); err == nil {
			flags = flags&^(unix.STATX_ATTR_APPEND|unix.STATX_ATTR_IMMUTABLE) | flag
			err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags))
		}
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		need.Lacks(t, "inode flags", err)
	}
}

// A tree that is too large to be kept is refused before the command is run. Holes take
// no space.
func TestKeepNeedsSpace(t *testing.T) {
	const size = 1 << 20
	dir, cmd := livePlace(t, forestOf(1))
	f, err := os.Create(filepath.Join(dir, "big"))
	if err == nil {
		_, err = f.Write(make([]byte, size))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, "sparse"), nil, 0o600), os.Truncate(filepath.Join(dir, "sparse"), 64*size))
	}
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	k := keep{filepath.Join(cmd.Staging, "keep")}
	records := scanAll(t, dir)
	for _, r := range records {
		r.Path = strings.TrimPrefix(filepath.Join(dir, r.Path), "/")
	}
	kept := func(name string, room int64) (int64, error) {
		i := slices.IndexFunc(records, func(r *Record) bool { return filepath.Base(r.Path) == name })
		if err := errors.Join(os.RemoveAll(k.dir), os.Mkdir(k.dir, 0o700)); err != nil {
			t.Fatal(err)
		}
		return k.keep(root, records[i], room)
	}
	if copied, err := kept("big", size); err != nil || copied != 0 && copied != size {
		t.Errorf("%d, %v", copied, err)
	}
	if _, err = kept("big", size-1); err != nil && !errors.Is(err, errNoSpace) { // or it was cloned
		t.Errorf("%v, want %v", err, errNoSpace)
	}
	if copied, err := kept("sparse", 0); err != nil || copied != 0 {
		t.Errorf("of nothing but a hole: %d, %v", copied, err)
	}
}
