package unpack

import (
	"flag"
	"fmt"
	"runtime/debug"
	"syscall"
	"testing"

	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
)

// modelStates is about how many states of a model's disk TestModel tries of each verb.
var modelStates = flag.Int("states", 1300, "try about so many crashes of the model of each verb, and some more of their recoveries")

// try recovers what a crash left, if no such crash was tried yet, and judges it. It
// reports whether it was one more.
func (v *modelVerb) try(t testing.TB, crashed *modelTree, last uint64, may string, depth int) bool {
	t.Helper()
	sum := crashed.sum(modelRoot, all, map[uint64]uint64{})
	if v.seen[sum] || len(v.faults) > 5 {
		return false
	}
	v.seen[sum] = true
	for name, k := range v.kinds {
		ino, err := crashed.find(name)
		if err != nil {
			if !v.plain && !v.overlay || !k.turns {
				v.fault("%s: %v", name, err)
			}
		} else if kind := crashed.inodes[ino].own(plain); kind != k.before && kind != k.after {
			v.fault("%s is torn", name)
		}
	}
	turn := uint64(0)
	if v.rnd.IntN(3) == 0 { // the disk was lost; this is a copy, and its inodes have changed places
		turn = 1<<63 + v.rnd.Uint64N(2*last)
		if v.rnd.IntN(2) == 0 {
			turn &= 1<<63 - 1
		}
	}
	m := v.mounted(crashed, last, turn)
	r, err := openDisk(m, "model", Options{})
	if err != nil {
		v.fault("open: %v", err)
		return true
	}
	if depth > 0 {
		r.sys.fault = func(string, string) error {
			v.crashes(t, m, 1+v.rnd.IntN(3), may, depth-1)
			return nil
		}
	}
	if _, err := r.Recover(); err != nil {
		v.fault("recovery: %v", err)
		return true
	}
	r.sys.fault = nil
	if v.again {
		if err := v.do(r); err != nil {
			v.fault("done again: %v", err)
			return true
		}
	}
	v.judge(m, may)
	live, _ := judge(m.live)
	if durable, _ := judge(m.base); durable != live {
		v.fault("what was recovered is not on the disk")
	}
	return true
}

func (v *modelVerb) fault(format string, args ...any) {
	v.faults = append(v.faults, fmt.Sprintf(format, args...))
}

// judge looks at a disk that was recovered.
func (v *modelVerb) judge(m *model, may string) {
	got, left := judge(m.live)
	switch {
	case left != "":
		v.fault("%s is left", left)
	case got == v.end:
		v.tried[1]++
	case got == v.old && may == "" && !v.again:
		v.tried[0]++
	default:
		v.fault("root %s, records %s, store %s %s", v.which(got.root, v.old.root, v.end.root), v.which(got.records, v.old.records, v.end.records), v.which(got.kept, v.old.kept, v.end.kept), may)
	}
}

func (v *modelVerb) which(got, old, end uint64) string {
	switch got {
	case old:
		return "old"
	case end:
		return "new"
	}
	return "neither"
}

// crashes tries n random crashes at this point.
func (v *modelVerb) crashes(t testing.TB, m *model, n int, may string, depth int) {
	for range n {
		if v.try(t, v.randomCrash(m), m.last, may, depth) {
			v.twice++
		}
	}
}

// randomCrash loses pending calls at random: of all that is pending, or of what is
// pending in a few directories.
func (v *modelVerb) randomCrash(m *model) *modelTree {
	keep, salt := v.rnd.Float64(), v.rnd.Uint64()
	whole := v.rnd.IntN(3) == 0
	chosen := func(_ int, o *modelOp) bool {
		if !whole {
			return v.rnd.Float64() < keep
		}
		at := o.file
		for s := range o.names {
			at = max(at, s.dir)
		}
		return float64(mix(salt, at)>>11)/(1<<53) < keep
	}
	return m.crash(chosen, v.anyFate)
}

func (v *modelVerb) anyFate(*modelOp) fate { return fate(v.rnd.IntN(int(fates))) }

// enumerate tries the crashes before one call: the calls that are pending are on the
// disk up to one of them; all but one; one alone; any. share is how many of the last
// are asked for.
func (v *modelVerb) enumerate(t testing.TB, m *model, share int, may string) {
	intact := func(*modelOp) fate { return written }
	gone := func(*modelOp) fate { return lost }
	for _, f := range []func(*modelOp) fate{intact, gone, v.anyFate} {
		n := len(m.pending)
		v.try(t, m.crash(func(int, *modelOp) bool { return true }, f), m.last, may, 0)
		v.try(t, m.crash(func(i int, _ *modelOp) bool { return i < n-1 }, f), m.last, may, 0)
	}
	if n := len(m.pending); n > 0 {
		for range 2 {
			one := v.rnd.IntN(n)
			v.try(t, m.crash(func(i int, _ *modelOp) bool { return i != one }, v.anyFate), m.last, may, 0)
			v.try(t, m.crash(func(i int, _ *modelOp) bool { return i < one }, v.anyFate), m.last, may, 0)
		}
		alone := alone(m.pending[v.rnd.IntN(n)])
		v.try(t, m.crash(func(_ int, o *modelOp) bool { return alone[o] }, v.anyFate), m.last, may, 0)
	}
	for range share {
		depth := 0
		if v.rnd.IntN(100) == 0 {
			depth = 2
		}
		v.try(t, v.randomCrash(m), m.last, may, depth)
	}
}

// alone returns a call and those it needs.
func alone(o *modelOp) map[*modelOp]bool {
	with := map[*modelOp]bool{o: true}
	for _, n := range o.needs {
		for w := range alone(n) {
			with[w] = true
		}
	}
	return with
}

// TestModel crashes each verb on a model of a disk, before every call that changes
// something, with whatever may be on the disk then; recovers; and finds the old root
// or the new one. Some recoveries crash as well, and some of those that follow.
func TestModel(t *testing.T) {
	t.Parallel()
	need.Root(t) // the model is root's, and the same to all
	defer debug.SetGCPercent(debug.SetGCPercent(800))
	s := newScene(t, t.TempDir())
	states := 0
	verbs := modelVerbs(t, s.verbs(t))
	for _, v := range append(verbs, moreModelVerbs(t, verbs)...) {
		t.Run(v.name, func(t *testing.T) {
			v.prepare(t)
			calls := 0
			v.run(t, func(*model) func(string, string) error {
				return func(string, string) error { calls++; return nil }
			})
			n := 0
			m := v.run(t, func(m *model) func(string, string) error {
				return func(call, name string) error {
					n++
					v.enumerate(t, m, *modelStates/calls, "")
					if len(v.faults) > 0 {
						t.Fatalf("crashed before %s %s, call %d of %d: %s", call, name, n, calls, v.faults[0])
					}
					return nil
				}
			})
			v.enumerate(t, m, 10, "though it had ended")
			if len(v.faults) > 0 {
				t.Fatalf("crashed after the end: %s", v.faults[0])
			}
			t.Logf("%d calls, %d states: %d old, %d new, 0 bad; %d of them after a crash of the recovery", calls, len(v.seen), v.tried[0], v.tried[1], v.twice)
			if v.tried[0] == 0 && !v.again || v.tried[1] == 0 {
				t.Error("the commit is at neither end")
			}
			states += len(v.seen)
		})
	}
	t.Logf("%d states", states)
}

// TestModelErrors makes calls fail, on models: one, or one and all after it. What is
// not taken back at once is when the disk works again.
func TestModelErrors(t *testing.T) {
	t.Parallel()
	need.Root(t) // the model is root's, and the same to all
	verbs := modelVerbs(t, newScene(t, t.TempDir()).verbs(t))
	for _, v := range append(verbs, moreModelVerbs(t, verbs)...) {
		v.prepare(t)
		states := 0
		for n, more := 1, true; more; n += 1 + *every/10 {
			for _, always := range []bool{false, true} {
				m := v.mounted(v.start.clone(), v.last, 0)
				r, calls := openModel(t, m), 0
				r.sys.fault = func(string, string) error {
					if calls++; calls == n || always && calls > n {
						return []error{syscall.ENOSPC, syscall.EIO}[n%2]
					}
					return nil
				}
				may := ""
				if err := v.do(r); err == nil {
					may = "though it had ended"
				}
				more = calls >= n
				r.sys.fault = nil
				if _, err := r.Recover(); err != nil {
					t.Fatalf("%s: call %d, and later: %v: recovery: %v", v.name, n, always, err)
				}
				if v.again {
					check(t, v.do(r))
				}
				v.judge(m, may)
				v.try(t, m.base, m.last, may, 0)
				if len(v.faults) > 0 {
					t.Fatalf("%s: call %d, and later: %v: %s", v.name, n, always, v.faults[0])
				}
				states++
			}
		}
		t.Logf("%s: %d states, 0 bad", v.name, states)
	}
}

// TestModelIsTrue: what a verb makes of a model is what it makes of a root, as far as
// the kernel shows it.
func TestModelIsTrue(t *testing.T) {
	t.Parallel()
	need.Root(t) // the model is root's, and the same to all
	s := newScene(t, t.TempDir())
	verbs := s.verbs(t)
	for i, v := range modelVerbs(t, verbs) {
		m := v.run(t, nil)
		r := openModel(t, m)
		got, err := r.sys.snapshot(".", ".", andHash)
		check(t, err)
		outside := func(e *plist.Entry) bool { return !plist.Within(e.Path, DefaultState) }
		want, got := subset(snapshotOf(t, verbs[i].end), outside), subset(got, outside)
		if d := firstDifference(want.Entries, got.Entries, andHash); d != "" {
			t.Errorf("%s: %s: %+v and %+v", v.name, d, want.Find(d), got.Find(d))
		}
		for k := range want.Entries {
			if !t.Failed() && want.Entries[k].Link != got.Entries[k].Link {
				t.Errorf("%s: %s is a link of %q, not %q", v.name, want.Entries[k].Path, got.Entries[k].Link, want.Entries[k].Link)
			}
		}
	}
}
