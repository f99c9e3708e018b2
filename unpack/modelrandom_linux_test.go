package unpack

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
)

// Which sequences of random verbs TestModelRandom does.
var (
	modelSeeds = flag.Int("seeds", 300, "do so many sequences of random verbs on a model")
	modelFrom  = flag.Int("from", 0, "the number of the first of them")
)

// A play is a sequence of random verbs on a model of a disk.
type play struct {
	testing.TB
	rnd    *rand.Rand
	m      *model
	r      *Root
	below  *model          // of a base; nil if there is none
	edits  bool            // the user changes files, too
	mine   map[string]bool // what the user wrote and did not give up
	sums   []uint64        // of the root after each transaction; the first is from before all
	since  int             // number of the transaction before the user's last edit, or that was pruned
	said   []string        // what was done
	counts map[string]int  // of all plays
}

// TestModelRandom does random verbs with random packages, crashes in between, lets
// a user edit, and goes back to earlier states. A verb that is refused or
// interrupted has changed nothing, or is done; going back brings what was there; what
// the user wrote is never lost.
func TestModelRandom(t *testing.T) {
	t.Parallel()
	need.Root(t) // the model is root's, and the same to all
	counts := make(map[string]int)
	for seed := uint64(*modelFrom); seed < uint64(*modelFrom+*modelSeeds); seed++ {
		p := &play{TB: t, rnd: rand.New(rand.NewPCG(seed, 2)), m: newModel(), edits: seed%2 == 1, mine: make(map[string]bool), counts: counts}
		p.m.plain = seed%3 == 2
		p.begin()
		if seed%4 > 1 {
			p.putBelow()
		}
		p.reopen()
		p.sums = []uint64{p.sum()}
		base := p.baseSum()
		for range 15 {
			p.act()
			if t.Failed() {
				t.Fatalf("seed %d: %s", seed, strings.Join(p.said, "; "))
			}
		}
		p.end()
		if p.baseSum() != base {
			t.Error("the base was changed")
		}
		if t.Failed() {
			t.Fatalf("seed %d: %s", seed, strings.Join(p.said, "; "))
		}
	}
	t.Log(counts)
}

// names are the paths that packages and the user meet at.
var names = []string{"a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "etc", "etc/a.conf", "etc/b.conf", "l"}

// begin makes what is there before all.
func (p *play) begin() {
	for _, name := range []string{"d", "etc", "var", "var/lib"} {
		check(p, p.m.mkdir(name, 0o755))
	}
	for _, name := range []string{"a", "d/b", "etc/a.conf"} {
		p.write(name, "base "+name)
	}
	check(p, p.m.link("a", "b"))
	p.m.settle(func(*modelOp) bool { return true })
}

// putBelow unpacks a package, and makes its records those of a base.
func (p *play) putBelow() {
	pkg := p.pack()
	pkg.List.Name = "below"
	_, err := openModel(p.TB, p.m).Unpack(pkg, Policy{Save: true})
	check(p, err)
	p.below = mounted(p.m.live, p.m.last, 0)
	root := p.below.live.clone()
	slot, _, err := root.place(DefaultState)
	check(p, err)
	root.set(slot, 0)
	plain := p.m.plain
	p.m = mounted(root, p.m.last, 0)
	p.m.plain = plain
}

func (p *play) baseSum() uint64 {
	if p.below == nil {
		return 0
	}
	return p.below.live.sum(modelRoot, all, map[uint64]uint64{})
}

// write puts a text at a path, as somebody else than a package would.
func (p *play) write(name, text string) {
	f, err := p.m.create(name)
	check(p, err)
	_, err = f.Write([]byte(text))
	check(p, err)
	check(p, f.Chmod(0o644))
}

func (p *play) reopen() {
	p.r = openModel(p.TB, p.m)
	if p.below != nil {
		p.r.bases = []*Root{openModel(p.TB, p.below)}
	}
}

// sum sums up the root, but for which names are one file: where a package took some of
// them and not all, a name that comes back is a file of its own.
func (p *play) sum() uint64 {
	if _, left := judge(p.m.live); left != "" {
		p.Errorf("%s is left", left)
	}
	t := p.m.live.clone()
	if slot, there, _ := t.place(DefaultState); there != 0 {
		t.set(slot, 0)
	}
	return t.sum(modelRoot, apart, nil)
}

// A textTree is a package's content, by path.
type textTree map[string]string

func (t textTree) Open(path string) (plist.File, error) {
	text, ok := t[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return textFile{strings.NewReader(text)}, nil
}

// pack makes a random package.
func (p *play) pack() Package {
	l := &plist.List{Name: fmt.Sprint("p", p.rnd.IntN(3)), Version: fmt.Sprint(p.rnd.IntN(1000)), Prefix: "/"}
	tree, dirs := make(textTree), map[string]bool{".": true}
	first := ""
	for _, name := range names {
		e := plist.Entry{Op: plist.OpAdd, Path: name, Mode: 0o644, ModTime: time.Unix(int64(p.rnd.IntN(5)), 0)}
		if there, ok := dirs[path.Dir(name)]; ok && !there || p.rnd.IntN(3) == 0 {
			continue // what is below a file; a directory may be left out
		}
		switch kind := p.rnd.IntN(9); {
		case name == "d" || name == "etc" || name == "d/e" && kind < 6:
			e.Mode, dirs[name] = fs.ModeDir|0o755, true
		case kind == 8:
			e = plist.Entry{Op: plist.OpDelete, Path: name}
			dirs[name] = false
		case kind == 0:
			e.Mode, e.Link = fs.ModeSymlink|0o777, fmt.Sprint("to", p.rnd.IntN(3))
		case kind == 1 && first != "":
			f := l.Find(first)
			e = *f
			e.Path, e.Link = name, first
			tree[name] = tree[first]
		default:
			tree[name] = fmt.Sprint("package ", p.rnd.IntN(4))
			d, err := capture.Digest(strings.NewReader(tree[name]))
			check(p, err)
			e.Size, e.Digest = int64(len(tree[name])), d
			if e.Mode |= fs.FileMode(p.rnd.IntN(2)) * 0o111; first == "" {
				first = name
			}
		}
		if _, ok := dirs[name]; !ok {
			dirs[name] = false
		}
		l.Entries = append(l.Entries, e)
	}
	l.Sort()
	return Package{l, tree}
}

// act does one thing.
func (p *play) act() {
	anything := Policy{Save: true}
	if p.rnd.IntN(3) == 0 {
		anything = Policy{}
	}
	if p.rnd.IntN(2) == 0 {
		anything.Take = names
	}
	switch p.rnd.IntN(8) {
	case 0, 1, 2:
		pkg := p.pack()
		p.change("unpack "+pkg.List.Name, func() error { _, err := p.r.Unpack(pkg, anything); return err })
	case 3:
		name := fmt.Sprint("p", p.rnd.IntN(3))
		p.change("remove "+name, func() error { _, err := p.r.Remove(name, anything); return err })
	case 4:
		n := p.rnd.IntN(len(p.sums))
		p.change(fmt.Sprint("undo ", n), func() error { _, err := p.r.Undo(n, anything); return err })
	case 5:
		p.rollback(p.rnd.IntN(len(p.sums)))
	case 6:
		if p.edits {
			p.edit()
		}
	case 7:
		if p.rnd.IntN(3) == 0 {
			p.prune()
		}
	}
	p.checkMine()
}

// change does a verb, which may crash. It is done, and the next transaction, or has
// changed nothing.
func (p *play) change(what string, do func() error) {
	before, was := p.sum(), p.history()
	crashAt, calls := 0, 0
	if p.rnd.IntN(3) == 0 {
		crashAt = 1 + p.rnd.IntN(120)
		what += fmt.Sprint(", crash before call ", crashAt)
	}
	var crashed *modelTree
	p.r.sys.fault = func(string, string) error {
		if calls++; calls == crashAt {
			v := modelVerb{rnd: p.rnd}
			crashed = v.randomCrash(p.m)
		}
		if crashed != nil {
			return errors.New("crash")
		}
		return nil
	}
	err := do()
	p.r.sys.fault = nil
	if crashed != nil {
		plain := p.m.plain
		p.m = mounted(crashed, p.m.last, 0)
		p.m.plain = plain
		p.reopen()
		if _, err := p.r.Recover(); err != nil {
			p.Errorf("%s: recovery: %v", what, err)
		}
	}
	var refused Refused
	if errors.As(err, &refused) && strings.Contains(refused.Error(), "package below of model") {
		p.counts["refused for the base"]++
	}
	p.said = append(p.said, what)
	switch now := p.history(); {
	case now == was+1:
		p.counts["done"]++
		p.sums = append(p.sums, p.sum())
	case now != was || p.sum() != before:
		p.Errorf("%s: %v, and the root is another", what, err)
	case crashed != nil:
		p.counts["crashed"]++
	case errors.As(err, &refused), errors.Is(err, ErrNotInstalled), strings.HasPrefix(what, "undo"):
		p.counts["refused"]++
	case err != nil:
		p.Errorf("%s: %v", what, err)
	}
}

func (p *play) history() int {
	n, err := p.r.historyNumbers()
	check(p, err)
	return len(n)
}

// rollback goes back to what was after a transaction. That may only be refused if the
// user came between, or what is wanted was pruned.
func (p *play) rollback(to int) {
	numbers, err := p.r.PlanRollback(to)
	check(p, err)
	p.said = append(p.said, fmt.Sprint("rollback to ", to))
	for _, n := range numbers {
		if _, err := p.r.Undo(n, Policy{}); err != nil {
			if to >= p.since {
				p.Errorf("rollback to %d: undo %d: %v", to, n, err)
			}
			p.counts["rollback refused"]++
			return
		}
		p.sums = append(p.sums, p.sum())
	}
	p.counts["rollback"]++
	if to >= p.since && p.sum() != p.sums[to] {
		p.Errorf("rolled back to %d, and the root is another", to)
	}
}

// edit changes a file as a user would.
func (p *play) edit() {
	name := names[p.rnd.IntN(len(names))]
	if p.rnd.IntN(2) == 0 {
		name += ".mine"
	}
	e, _, err := p.r.sys.lstat(name, noHash)
	switch there := err == nil; {
	case there && e.Mode.IsDir(), !there && !p.isDir(path.Dir(name)):
		return
	case there:
		f, err := p.r.sys.readRegular(name)
		if err == nil {
			delete(p.mine, f)
		}
		check(p, p.m.unlink(name))
	}
	if p.rnd.IntN(4) > 0 {
		text := fmt.Sprint("mine ", len(p.said))
		p.mine[text] = true
		p.write(name, text)
	}
	p.m.settle(func(*modelOp) bool { return true })
	p.said = append(p.said, "edit "+name)
	p.since = p.history()
	p.sums[p.since] = p.sum()
}

func (p *play) isDir(name string) bool {
	e, _, err := p.r.sys.lstat(name, noHash)
	return err == nil && e.Mode.IsDir()
}

// readRegular returns what a regular file holds.
func (s *system) readRegular(name string) (string, error) {
	f, err := s.openFile(name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for buf := make([]byte, 4096); ; {
		n, err := f.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String(), nil
		}
	}
}

// prune forgets what all but the last transactions displaced. What the user wrote and
// was only kept is given up.
func (p *play) prune() {
	keep := p.rnd.IntN(4)
	before := p.sum()
	pruned, err := p.r.Prune(Retention{Transactions: keep})
	check(p, err)
	p.said = append(p.said, fmt.Sprint("prune all but ", keep))
	if p.sum() != before {
		p.Errorf("pruning changed the root")
	}
	if len(pruned) > 0 {
		p.since = max(p.since, slices.Max(pruned))
	}
	p.counts["prune"]++
	for text := range p.mine {
		if !p.found()[text] {
			delete(p.mine, text)
		}
	}
}

// found returns all that files of the root and of the store hold.
func (p *play) found() map[string]bool {
	all := make(map[string]bool)
	for _, dir := range []string{".", p.r.at(keptName)} {
		l, err := p.r.sys.snapshot(dir, dir, noHash)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		check(p, err)
		for _, e := range l.Entries {
			if e.Mode.IsRegular() && (dir != "." || !plist.Within(e.Path, DefaultState)) {
				text, err := p.r.sys.readRegular(e.Path)
				check(p, err)
				all[text] = true
			}
		}
	}
	return all
}

func (p *play) checkMine() {
	found := p.found()
	for _, text := range slices.Sorted(maps.Keys(p.mine)) {
		if !found[text] {
			p.Errorf("%q is lost", text)
		}
	}
}

// end removes all packages, in any order, which brings back what was there before all if
// nobody else changed anything.
func (p *play) end() {
	if bad, err := p.r.VerifyHistory(); bad != 0 || err != nil {
		p.Errorf("history: %d, %v", bad, err)
	}
	if p.edits {
		return
	}
	for len(p.said) < 1000 {
		records, err := p.r.records()
		check(p, err)
		if len(records) == 0 {
			break
		}
		name := slices.Sorted(maps.Keys(records))[p.rnd.IntN(len(records))]
		if _, err := p.r.Remove(name, Policy{}); err != nil && strings.Contains(err.Error(), "can not come back") {
			p.said = append(p.said, "no remove "+name) // another is to go first
			continue
		} else if err != nil {
			p.Errorf("remove %s: %v", name, err)
			return
		}
		p.said = append(p.said, "remove "+name)
	}
	if p.sum() != p.sums[0] {
		p.Errorf("all is removed, and the root is another")
	}
}
