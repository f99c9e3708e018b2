package unpack

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// every thins the crash tests on the kernel out: one in so many states is tried. All
// states but those of KillTwice and PowerCut take half an hour:
// go test ./unpack -timeout 1h -run 'Kill$|Strace|Error' -args -every 1.
var every = flag.Int("every", 89, "try one in this many crashes")

// A trial is one verb, carried out by another process that is stopped, or whose
// calls fail, at a given number of a call that changes something.
type trial struct {
	Root, Verb, Arg string

	KillAt int        // be killed before this call
	FailAt int        // this call fails
	Errno  unix.Errno // with this
	Always bool       // and so do all calls after it

	Plain bool // do without openat2(2), syncfs(2) and the flags of renameat2(2)
}

// The environment of the process that carries a trial out.
const trialVar = "SANDBOX_INSTALL_UNPACK_TRIAL"

// strace counts calls by thread.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	if text := os.Getenv(trialVar); text != "" {
		os.Exit(perform(text))
	}
	need.OwnMounts()
	forget := inMemory()
	code := m.Run()
	forget()
	os.Exit(code)
}

// perform is the other process. It prints the number of calls.
func perform(text string) int {
	var tr trial
	var errno int
	if _, err := fmt.Sscanf(text, "%q %q %q %d %d %d %t %t", &tr.Root, &tr.Verb, &tr.Arg, &tr.KillAt, &tr.FailAt, &errno, &tr.Always, &tr.Plain); err != nil {
		panic(err)
	}
	r, err := Open(tr.Root, Options{})
	if err != nil {
		panic(err)
	}
	r.now = func() time.Time { return sceneTime }
	r.indexAfter = 0
	if tr.Plain {
		makePlain(r)
	}
	calls := 0
	r.sys.fault = func(call, name string) error {
		calls++
		if calls == tr.KillAt {
			if err := unix.Kill(os.Getpid(), unix.SIGKILL); err != nil {
				panic(err)
			}
			select {}
		}
		if calls == tr.FailAt || tr.Always && tr.FailAt > 0 && calls > tr.FailAt {
			return unix.Errno(errno)
		}
		return nil
	}
	err = verb{verb: tr.Verb, arg: tr.Arg}.perform(r)
	fmt.Println(calls)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// makePlain lets a root do without what only Linux has.
func makePlain(r *Root) {
	k := r.sys.disk.(*kernel)
	k.walks.Store(true)
	k.dirty = &dirty{}
	k.renameWith = func(renaming, int, string, int, string) error { return unix.ENOSYS }
}

// perform carries a verb out.
func (v verb) perform(r *Root) (err error) {
	switch v.verb {
	case "unpack":
		_, err = unpackFile(r, v.arg, Policy{Devices: true})
	case "remove":
		_, err = r.Remove(v.arg, Policy{})
	case "undo":
		_, err = r.Undo(0, Policy{})
	case "config":
		_, err = r.Config("thing", map[string]Resolution{v.arg: ResolveMerge})
	case "recover":
		_, err = r.Recover()
	}
	return err
}

// String returns the trial as perform reads it.
func (tr trial) String() string {
	return fmt.Sprintf("%q %q %q %d %d %d %t %t", tr.Root, tr.Verb, tr.Arg, tr.KillAt, tr.FailAt, int(tr.Errno), tr.Always, tr.Plain)
}

// run carries a trial out. It returns the number of calls, 0 if the process was killed.
func (tr trial) run(t testing.TB) (calls int, failed bool) {
	t.Helper()
	exe, err := os.Executable()
	check(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), trialVar+"="+tr.String())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil && exit.ExitCode() < 0 {
		return 0, true // killed
	}
	if strings.Contains(errs.String(), "panic") {
		t.Fatalf("%+v: %s", tr, errs.String())
	}
	if testing.Verbose() && errs.Len() > 0 && tr.FailAt == 0 {
		t.Log(errs.String())
	}
	calls, err = strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatalf("%+v: %q %q", tr, out.String(), errs.String())
	}
	return calls, err != nil || exit != nil
}

// verbs are what crashes interrupt: the root that each begins with and ends with.
func (s *scene) verbs(t testing.TB) []verb {
	installed := func(pkg string) string {
		dir := s.fresh(t, s.old)
		_, err := unpackFile(open(t, dir), pkg, Policy{Devices: true})
		check(t, err)
		return dir
	}
	one := installed(s.pkg1)

	// The user changes configuration; the next version brings another; they merge.
	const edit = "sed -i s/conf/mine/ etc/app.conf; touch -d '2020-03-03' etc/app.conf"
	s.variant(t, s.one, "one-edited", edit)
	s.variant(t, s.two, "two-edited", "printf 'mine\n\n1\n' > etc/app.conf; touch -d '2020-03-03' etc/app.conf")
	s.variant(t, s.two, "merged", "printf 'mine\n\n2\n' > etc/app.conf; touch -d '2020-02-02 02:02:02' etc/app.conf")
	oneEdited := s.fresh(t, one)
	sh(t, oneEdited, edit)
	waiting := s.fresh(t, oneEdited)
	_, err := unpackFile(open(t, waiting), s.pkg2, Policy{Devices: true})
	check(t, err)

	return []verb{
		{"unpack", s.pkg1, s.fresh(t, s.old), s.old, s.one},
		{"unpack", s.pkg2, one, s.one, s.two},
		{"remove", "thing", one, s.one, s.old},
		{"undo", "", one, s.one, s.old},
		{"unpack", s.pkg2, oneEdited, s.dir + "/one-edited", s.dir + "/two-edited"},
		{"config", "etc/app.conf", waiting, s.dir + "/two-edited", s.dir + "/merged"},
	}
}

// variant makes another root of the scene by a script.
func (s *scene) variant(t testing.TB, from, name, script string) {
	t.Helper()
	dir := s.dir + "/" + name
	sh(t, s.dir, "cp -a '"+from+"' "+name)
	copyFlags(t, from, dir)
	sh(t, dir, script)
	s.pictures[dir] = picture(t, dir)
}

type verb struct {
	verb, arg   string
	start       string // root to begin with
	before, end string // directories of the scene whose pictures are right
}

// TestKill kills each verb before every call that changes something. What is then
// in the root is at every path old or new, and after recovery all of it is.
func TestKill(t *testing.T) {
	t.Parallel()
	s := newScene(t, t.TempDir())
	for _, v := range s.verbs(t) {
		t.Run(v.verb+filepath.Base(v.end), func(t *testing.T) {
			calls := s.countCalls(t, v)
			old, done := 0, 0
			for n := calls; n > 0; n -= *every {
				dir := s.fresh(t, v.start)
				trial{Root: dir, Verb: v.verb, Arg: v.arg, KillAt: n}.run(t)
				s.checkRaw(t, v, dir)
				if s.recovered(t, v, dir) == v.before {
					old++
				} else {
					done++
				}
				if t.Failed() {
					t.Fatalf("killed before call %d of %d", n, calls)
				}
				check(t, os.RemoveAll(dir))
			}
			t.Logf("%d states: %d old, %d new, 0 bad", old+done, old, done)
			if old == 0 || done == 0 {
				t.Error("the commit is at neither end")
			}
		})
	}
}

// countCalls carries a verb out undisturbed.
func (s *scene) countCalls(t *testing.T, v verb) int {
	t.Helper()
	dir := s.fresh(t, v.start)
	calls, failed := trial{Root: dir, Verb: v.verb, Arg: v.arg}.run(t)
	if failed {
		t.Fatalf("%+v failed undisturbed", v)
	}
	expect(t, dir, s.pictures[v.end])
	return calls
}

// recovered recovers, and reports which of the two pictures the root has then.
func (s *scene) recovered(t *testing.T, v verb, dir string) string {
	t.Helper()
	r, err := Open(dir, Options{})
	check(t, err)
	defer func() { check(t, r.Close()) }()
	_, err = r.Recover()
	check(t, err)
	pending, err := r.Pending()
	check(t, err)
	if pending {
		t.Error("still pending")
	}
	got := picture(t, dir)
	which := v.before
	if got == s.pictures[v.end] {
		which = v.end
	} else if got != s.pictures[v.before] {
		t.Errorf("neither old nor new; other than old:\n%s\nother than new:\n%s", diff(s.pictures[v.before], got), diff(s.pictures[v.end], got))
	}
	all, err := r.Packages()
	check(t, err)
	version, waits := "", 0
	for _, rec := range all {
		version, waits = rec.Packaged.Version, len(rec.Merges)
		findings, err := r.Check(rec)
		check(t, err)
		if faults := Faults(findings); len(faults) > 0 && which != s.dir+"/one-edited" {
			t.Errorf("check: %v", faults)
		}
	}
	name := filepath.Base(which)
	want := map[string]string{"old": "", "one": "1", "two": "2", "one-edited": "1", "two-edited": "2", "merged": "2"}[name]
	if version != want || (waits == 1) != (name == "two-edited") {
		t.Errorf("the root is %s, the record %q, %d configuration files wait", name, version, waits)
	}
	return which
}

// checkRaw looks at a root that was not recovered: what is there before and after
// is whole.
func (s *scene) checkRaw(t *testing.T, v verb, dir string) {
	t.Helper()
	for name, wanted := range s.contents(t, v) {
		out, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !wanted[string(out)] {
			t.Errorf("%s: neither old nor new", name)
		}
	}
}

// contents are the two contents of the files that are there before and after.
func (s *scene) contents(t *testing.T, v verb) map[string]map[string]bool {
	t.Helper()
	all := make(map[string]map[string]bool)
	for _, e := range snapshotOf(t, v.before).Entries {
		fi, err := os.Lstat(filepath.Join(v.end, e.Path))
		if err != nil || !fi.Mode().IsRegular() || !e.Mode.IsRegular() {
			continue
		}
		all[e.Path] = make(map[string]bool)
		for _, dir := range []string{v.before, v.end} {
			text, err := os.ReadFile(filepath.Join(dir, e.Path))
			check(t, err)
			all[e.Path][string(text)] = true
		}
	}
	return all
}

// TestKillTwice kills the recovery too: of the root that crashed, and of a copy of
// it as a backup brings back, which has other inodes.
func TestKillTwice(t *testing.T) {
	t.Parallel()
	s := newScene(t, t.TempDir())
	for _, v := range s.verbs(t) {
		name, calls := v.verb+filepath.Base(v.end), s.countCalls(t, v)
		for n := 3; n <= calls; n += 3 * *every {
			t.Run(fmt.Sprintf("%s/original/%d", name, n), func(t *testing.T) {
				s.killRecovery(t, v, n, func() string { return s.crash(t, v, n) })
			})
			t.Run(fmt.Sprintf("%s/copy/%d", name, n), func(t *testing.T) {
				crashed := s.crash(t, v, n)
				s.killRecovery(t, v, n, func() string { return s.fresh(t, crashed) })
				check(t, os.RemoveAll(crashed))
			})
		}
	}
}

// killRecovery kills the recovery of a root that crashed at call n, each time of
// another such root, and checks that the next one ends it.
func (s *scene) killRecovery(t *testing.T, v verb, n int, crashed func() string) {
	t.Helper()
	calls, failed := trial{Root: crashed(), Verb: "recover"}.run(t)
	if failed {
		t.Fatal("the recovery failed undisturbed")
	}
	for m := 1 + n%*every; m <= calls; m += *every {
		dir := crashed()
		trial{Root: dir, Verb: "recover", KillAt: m}.run(t)
		s.checkRaw(t, v, dir)
		s.recovered(t, v, dir)
		if t.Failed() {
			t.Fatalf("killed before call %d, and before call %d of the recovery's %d", n, m, calls)
		}
		check(t, os.RemoveAll(dir))
	}
}

// crash returns a root in which a verb was killed before a call.
func (s *scene) crash(t *testing.T, v verb, n int) string {
	t.Helper()
	dir := s.fresh(t, v.start)
	trial{Root: dir, Verb: v.verb, Arg: v.arg, KillAt: n}.run(t)
	return dir
}

// TestErrors makes calls fail: one, or one and all after it.
func TestErrors(t *testing.T) {
	t.Parallel()
	s := newScene(t, t.TempDir())
	for _, v := range s.verbs(t) {
		t.Run(v.verb+filepath.Base(v.end), func(t *testing.T) {
			calls, states := s.countCalls(t, v), 0
			for n := 1; n <= calls; n += *every {
				for _, tr := range []trial{{Errno: unix.ENOSPC}, {Errno: unix.EIO}, {Errno: unix.EIO, Always: true}} {
					dir := s.fresh(t, v.start)
					tr.Root, tr.Verb, tr.Arg, tr.FailAt = dir, v.verb, v.arg, n
					_, failed := tr.run(t)
					s.checkRaw(t, v, dir)
					if which := s.recovered(t, v, dir); !failed && which != v.end {
						t.Error("success was told, and the root is old")
					}
					if t.Failed() {
						t.Fatalf("%v at call %d of %d, and later: %v", tr.Errno, n, calls, tr.Always)
					}
					check(t, os.RemoveAll(dir))
					states++
				}
			}
			t.Logf("%d states, 0 bad", states)
		})
	}
}
