package trace

import (
	"bytes"
	"errors"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/internal/sandbox"
	"github.com/sandbox-install/sandbox-install/plist"
)

func init() {
	capture.RegisterWatcher(func() (capture.Watcher, error) { return newPrograms() })
}

// programs know which program wrote each path last: of all calls that may change a file
// they note who makes them. It is an observer that lets everything through.
type programs struct {
	paths *resolver
	path  [unix.PathMax]byte

	outside int                 // who started the command
	chains  map[uint32]*program // by thread
	top     node                // of the tree of paths that were touched
	now     *program            // who makes the call that is being looked at
}

// A program is one that a process runs, and who started it.
type program struct {
	name   string // argv[0]
	parent *program
}

// A node is a path, and what was touched below it.
type node struct {
	wrote   *program // its content, or that it is there or gone
	dressed *program // its attributes
	below   map[string]*node
}

// by tells who wrote a path. Who only gave it attributes is told of if nobody did.
func (n *node) by() *program {
	if n.wrote != nil {
		return n.wrote
	}
	return n.dressed
}

func newPrograms() (*programs, error) {
	r, err := newResolver()
	if err != nil {
		return nil, err
	}
	r.chrooted = true // the command's root may not be ours
	return &programs{paths: r, chains: make(map[uint32]*program)}, nil
}

// Filter returns the program for seccomp(2) that asks about the calls.
func (p *programs) Filter() ([]byte, error) {
	program, _, err := watchFilter(false)
	return program, err
}

// Saw notes who makes a call, whatever it comes to.
func (p *programs) Saw(c *capture.SystemCall) {
	q := &sandbox.Question{TID: c.Thread, Arch: c.Arch, Number: c.Number, Args: c.Args}
	known := find(q)
	if known == nil {
		return
	}
	v, err := p.paths.view(q.TID)
	if err != nil {
		return // the thread is gone
	}
	defer v.close()
	t := &tracee{observer: p, view: v, call: known, Question: q, buf: &p.path}
	p.calls(t)
	_ = t.tell() // what can not be resolved the kernel refuses
}

// Close lets go of everything.
func (p *programs) Close() error {
	p.paths.close()
	return nil
}

// calls notes who makes the next call. The first of all is the command's execution.
func (p *programs) calls(t *tracee) {
	if p.outside == 0 {
		_, p.outside = processOf(t.TID)
	}
	p.now = p.programOf(t.TID)
}

// programOf finds out about a thread, and those who started its process.
func (p *programs) programOf(tid uint32) *program {
	if known, ok := p.chains[tid]; ok {
		return known
	}
	name, parent := processOf(tid)
	if name == "" {
		return nil
	}
	found := &program{name: name}
	if parent > 1 && parent != p.outside {
		found.parent = p.programOf(uint32(parent))
	}
	p.chains[tid] = found
	return found
}

// processOf reads argv[0] of a thread's process, and who its parent is.
func processOf(tid uint32) (name string, parent int) {
	stat, err := os.ReadFile(procPath(tid, "stat")) // proc_pid_stat(5): PID (COMM) STATE PPID ..., and COMM may hold anything
	first, last := bytes.IndexByte(stat, '('), bytes.LastIndex(stat, []byte(") "))
	if err != nil || first < 0 || last < first {
		return "", 0
	}
	if fields := strings.Fields(string(stat[last+2:])); len(fields) > 1 {
		parent, _ = strconv.Atoi(fields[1])
	}
	line, _ := os.ReadFile(procPath(tid, "cmdline"))
	if name, _, _ = strings.Cut(string(line), "\x00"); name == "" {
		name = string(stat[first+1 : last])
	}
	return name, parent
}

// execute forgets what the process ran before.
func (p *programs) execute(t *tracee) error {
	delete(p.chains, t.TID)
	if leader, err := strconv.ParseUint(t.process(t.resolv.proc, "Tgid", ""), 10, 32); err == nil {
		delete(p.chains, uint32(leader))
	}
	return nil
}

func (p *programs) touchName(s spot) error       { return p.wrote(s) }
func (p *programs) touchLinks(spot) error        { return nil }
func (p *programs) touchAttributes(s spot) error { return p.dressed(s) }
func (p *programs) touchContent(s spot) error    { return p.wrote(s) }

// wrote notes that a path was written.
func (p *programs) wrote(s spot) error {
	n, err := p.nodeOf(s)
	if err == nil {
		n.wrote = p.now
	}
	return err
}

// dressed notes that a path was given attributes.
func (p *programs) dressed(s spot) error {
	n, err := p.nodeOf(s)
	if err == nil {
		n.dressed = p.now
	}
	return err
}

func (p *programs) nodeOf(s spot) (*node, error) {
	full, err := pathOf(s.dir)
	if err != nil || !path.IsAbs(full) {
		return nil, errors.Join(err, unix.ENOENT)
	}
	return p.top.find(path.Join(full, s.name)), nil
}

// find returns the node of an absolute path, made if it is not there.
func (n *node) find(full string) *node {
	for name := range strings.SplitSeq(strings.Trim(full, "/"), "/") {
		if name == "" {
			continue
		}
		next := n.below[name]
		if next == nil {
			next = &node{}
			if n.below == nil {
				n.below = make(map[string]*node)
			}
			n.below[name] = next
		}
		n = next
	}
	return n
}

// renamed takes what is below one path to the other.
func (p *programs) renamed(from, to spot, exchange bool) error {
	a, err := p.nodeOf(from)
	if err != nil {
		return err
	}
	b, err := p.nodeOf(to)
	if err != nil {
		return err
	}
	if exchange {
		a.below, b.below = b.below, a.below
	} else {
		a.below, b.below = nil, a.below
	}
	return nil
}

// Mark sets By of the entries that somebody was seen to write.
func (p *programs) Mark(l *plist.List) {
	chains := make(map[*program][]string)
	for i := range l.Entries {
		e := &l.Entries[i]
		by := p.top.writer(e.Path)
		if by == nil {
			continue
		}
		if _, ok := chains[by]; !ok {
			chains[by] = by.chain()
		}
		e.By = chains[by]
	}
}

// writer returns who wrote an entry path last; nil if nobody was seen to.
func (n *node) writer(place string) *program {
	if place == "." {
		return n.by()
	}
	for name := range strings.SplitSeq(place, "/") {
		if n = n.below[name]; n == nil {
			return nil
		}
	}
	return n.by()
}

func (p *program) chain() []string {
	var names []string
	for ; p != nil; p = p.parent {
		names = append(names, p.name)
	}
	return names
}

// both are two observers in one, of which the second only looks on.
type both struct {
	*recorder
	programs *programs
}

func (b *both) touchName(s spot) error {
	if err := b.recorder.touchName(s); err != nil {
		return err
	}
	_ = b.programs.wrote(s)
	return nil
}

func (b *both) touchAttributes(s spot) error {
	if err := b.recorder.touchAttributes(s); err != nil {
		return err
	}
	_ = b.programs.dressed(s)
	return nil
}

func (b *both) touchContent(s spot) error {
	if err := b.recorder.touchContent(s); err != nil {
		return err
	}
	_ = b.programs.wrote(s)
	return nil
}

func (b *both) touchLinks(s spot) error { return b.recorder.touchLinks(s) }

func (b *both) renamed(from, to spot, exchange bool) error {
	if err := b.recorder.renamed(from, to, exchange); err != nil {
		return err
	}
	_ = b.programs.renamed(from, to, exchange)
	return nil
}

func (b *both) execute(t *tracee) error {
	_ = b.programs.execute(t)
	return b.recorder.execute(t)
}
