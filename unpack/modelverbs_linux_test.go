package unpack

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A modelVerb is a verb, and what the disk of a model is before and after it.
type modelVerb struct {
	name     string
	start    *modelTree
	last     uint64
	do       func(r *Root) error
	plain    bool // the disk exchanges no names
	overlay  bool // its directories can not be renamed
	again    bool // what a crash interrupts is done again after recovery, and ends as it had to
	old, end judged
	kinds    map[string]kinds // of what is there before and after

	rnd    *rand.Rand
	seen   map[uint64]bool // disks after a crash
	tried  [2]int          // of them, those that were old and new after recovery
	twice  int             // of them, those after a crash of the recovery
	faults []string
}

// Kinds are what something may be. What turns into a directory or from one may be
// missing where names are not exchanged.
type kinds struct {
	before, after uint64
	turns         bool
}

// A judged is what a root must be after recovery: as before or as after, and nothing in
// between.
type judged struct{ root, records, kept uint64 }

func judge(t *modelTree) (j judged, left string) {
	state, err := t.find(DefaultState)
	if err != nil {
		return judged{root: t.sum(modelRoot, all, map[uint64]uint64{})}, ""
	}
	for _, name := range t.inodes[state].sorted() {
		ino := t.inodes[state].names[name]
		switch name {
		case packagesName, historyName:
			if len(t.inodes[ino].names) > 0 {
				j.records = mix(j.records, t.sum(ino, plain, map[uint64]uint64{}))
			}
		case keptName:
			if len(t.inodes[ino].names) > 0 {
				j.kept = t.sum(ino, all, map[uint64]uint64{})
			}
		case lockName, indexName, newIndexName:
		default:
			left = name
		}
	}
	bare := t.clone()
	slot, _, _ := bare.place(DefaultState)
	bare.set(slot, 0)
	j.root = bare.sum(modelRoot, all, map[uint64]uint64{})
	return j, left
}

// kindsOf sums up what is at each path.
func kindsOf(t *modelTree) map[string]uint64 {
	kinds := make(map[string]uint64)
	var walk func(ino uint64, name string)
	walk = func(ino uint64, name string) {
		n := t.inodes[ino]
		kinds[name] = n.own(plain)
		for _, base := range n.sorted() {
			if next := strings.TrimPrefix(name+"/"+base, "./"); next != DefaultState {
				walk(n.names[base], next)
			}
		}
	}
	walk(modelRoot, ".")
	return kinds
}

func isDir(t *modelTree, name string) bool {
	ino, err := t.find(name)
	return err == nil && t.inodes[ino].names != nil
}

func openModel(t testing.TB, m *model) *Root {
	t.Helper()
	r, err := openDisk(m, "model", Options{})
	check(t, err)
	r.now = func() time.Time { return sceneTime }
	r.indexAfter = 0
	return r
}

func (v *modelVerb) mounted(t *modelTree, last, turn uint64) *model {
	m := mounted(t, last, turn)
	m.plain = v.plain
	return m
}

// run carries the verb out once without a crash.
func (v *modelVerb) run(t testing.TB, fault func(m *model) func(call, name string) error) *model {
	t.Helper()
	m := v.mounted(v.start.clone(), v.last, 0)
	r := openModel(t, m)
	if fault != nil {
		r.sys.fault = fault(m)
	}
	check(t, v.do(r))
	return m
}

// prepare learns what is right.
func (v *modelVerb) prepare(t testing.TB) {
	t.Helper()
	v.old, _ = judge(v.start)
	before := kindsOf(v.start)
	m := v.run(t, nil)
	end := m.live
	var left string
	if v.end, left = judge(end); left != "" {
		t.Fatalf("%s is left", left)
	}
	v.kinds = make(map[string]kinds)
	for name, kind := range kindsOf(end) {
		if was, ok := before[name]; ok {
			v.kinds[name] = kinds{was, kind, isDir(v.start, name) != isDir(end, name)}
		}
	}
	v.seen, v.rnd = make(map[uint64]bool), rand.New(rand.NewPCG(1, uint64(len(v.name))))
}

// modelVerbs are verbs of a scene, on models.
func modelVerbs(t testing.TB, verbs []verb) []*modelVerb {
	t.Helper()
	var all []*modelVerb
	for _, v := range verbs {
		m := loadModel(t, v.start)
		all = append(all, &modelVerb{name: v.verb + filepath.Base(v.end), start: m.base, last: m.last, do: v.perform})
	}
	return all
}

// moreModelVerbs are those that begin where others end, and those of a root of several file
// systems.
func moreModelVerbs(t testing.TB, verbs []*modelVerb) []*modelVerb {
	t.Helper()
	after := func(before *modelVerb, name string, do func(r *Root) error) *modelVerb {
		m := before.run(t, nil)
		m.settle(func(*modelOp) bool { return true })
		return &modelVerb{name: name, start: m.base, last: m.last, do: do}
	}
	undo := verb{verb: "undo"}.perform
	undone := after(verbs[1], "undo two", undo)
	redone := after(undone, "undo the undo of two", func(r *Root) error { _, err := r.Undo(3, Policy{}); return err })
	prune := after(redone, "prune", func(r *Root) error { _, err := r.Prune(Retention{Transactions: 1}); return err })
	prune.again = true
	all := []*modelVerb{undone, redone, prune}
	for _, v := range verbs[:4] {
		two := *v
		two.name += " on three file systems"
		two.start = v.start.clone()
		two.start.mount("var", 2) // the store
		two.start.mount("usr", 3)
		plain := *v
		plain.name, plain.plain = plain.name+" without exchange", true
		overlay := *v
		overlay.name, overlay.overlay, overlay.start = overlay.name+" on an overlay", true, v.start.clone()
		for ino, n := range overlay.start.inodes {
			if n.names != nil && !overlay.start.isState(ino) {
				overlay.start.own(ino).lower = true
			}
		}
		all = append(all, &two, &plain, &overlay)
	}
	return all
}

// isState reports whether an inode is in the state directory, which an overlay has in
// its upper layer.
func (t *modelTree) isState(ino uint64) bool {
	var in func(dir uint64) bool
	in = func(dir uint64) bool {
		if dir == ino {
			return true
		}
		for _, next := range t.inodes[dir].names {
			if in(next) {
				return true
			}
		}
		return false
	}
	state, err := t.find(DefaultState)
	return err == nil && in(state)
}

// mount makes a directory and all below it a file system of its own, if it is there.
func (t *modelTree) mount(name string, dev uint64) {
	ino, err := t.find(name)
	if err != nil {
		return
	}
	var walk func(ino uint64)
	walk = func(ino uint64) {
		n := t.own(ino)
		n.dev = dev
		for _, next := range n.names {
			walk(next)
		}
	}
	walk(ino)
}
