package trace

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

// The file has a line a system call: its name, its numbers on x86-64, i386 and
// arm64, and what is done about it:
//
//	pass     it changes no file by itself, or only through a descriptor whose
//	         opening was seen
//	ENOSYS   it is answered with this error without being asked about, as are
//	EPERM    all calls that are not in the file (ENOSYS)
//	verb     the recorder is asked; the words after it say which arguments are a
//	         directory descriptor (d), a path (p), flags (f)
//
//go:embed calls.tsv
var callsText string

// A verb says how a call changes files.
type verb string

const (
	verbPass   verb = "pass"
	verbOpen   verb = "open"    // may make the path, and open it to be written
	verbOpen2  verb = "openat2" // the same, the flags behind the next argument
	verbNew    verb = "new"     // the path comes, if it is not there
	verbName   verb = "name"    // the path goes
	verbRename verb = "rename"  // both paths come, go, or change places
	verbLink   verb = "link"    // the first gets a second name
	verbMeta   verb = "meta"    // attributes of what the path leads to
	verbLmeta  verb = "lmeta"   // attributes of a symlink itself
	verbWrite  verb = "write"   // content of what the path leads to
	verbBind   verb = "bind"    // a socket gets a name
	verbIoctl  verb = "ioctl"   // some change attributes
	verbExec   verb = "exec"    // executes the path
	verbChroot verb = "chroot"  // from now on paths mean something else
)

// refusals are the words that are errors.
var refusals = map[verb]unix.Errno{"ENOSYS": unix.ENOSYS, "EPERM": unix.EPERM}

// An operand is one file that a call names: numbers of arguments, -1 if it has none.
type operand struct{ dir, path int }

// A call is one system call.
type call struct {
	name     string
	numbers  [3]int // by arch; -1 where there is none
	verb     verb
	operands []operand
	flags    int // number of the argument, or -1
}

// An arch is an index into the numbers of a call.
type arch int

const (
	archX86_64 arch = iota
	archI386
	archARM64
)

// audits are the AUDIT_ARCH values of linux/audit.h.
var audits = map[uint32]arch{unix.AUDIT_ARCH_X86_64: archX86_64, unix.AUDIT_ARCH_I386: archI386, unix.AUDIT_ARCH_AARCH64: archARM64}

// calls are all calls of the file; it is part of the program, so that a fault in it
// is one of ours.
var calls = parseCalls(callsText)

func parseCalls(text string) []call {
	var all []call
	for line := range strings.Lines(text) {
		if line[0] == '#' {
			continue
		}
		c, err := parseCall(strings.TrimSuffix(line, "\n"))
		if err != nil {
			panic(fmt.Sprintf("calls.tsv: %q: %v", line, err))
		}
		all = append(all, c)
	}
	return all
}

func parseCall(line string) (c call, err error) {
	fields := strings.Split(line, "\t")
	if len(fields) != 5 {
		return c, fmt.Errorf("%d fields", len(fields))
	}
	c.name, c.flags = fields[0], -1
	for a := range c.numbers {
		if c.numbers[a] = -1; fields[1+a] != "-" {
			if c.numbers[a], err = strconv.Atoi(fields[1+a]); err != nil {
				return c, err
			}
		}
	}
	words := strings.Fields(fields[4])
	c.verb = verb(words[0])
	directory := -1
	for _, w := range words[1:] {
		n, err := strconv.Atoi(w[1:])
		if err != nil {
			return c, err
		}
		switch w[0] {
		case 'd':
			if directory >= 0 {
				c.operands = append(c.operands, operand{directory, -1})
			}
			directory = n
		case 'p':
			c.operands = append(c.operands, operand{directory, n})
			directory = -1
		case 'f':
			c.flags = n
		}
	}
	if directory >= 0 {
		c.operands = append(c.operands, operand{directory, -1})
	}
	return c, nil
}

// numbered returns the calls of an architecture by their numbers.
func numbered(a arch) []*call {
	var by []*call
	for i := range calls {
		n := calls[i].numbers[a]
		if n < 0 {
			continue
		}
		for len(by) <= n {
			by = append(by, nil)
		}
		by[n] = &calls[i]
	}
	return by
}

// byNumber are the calls by AUDIT_ARCH value and number.
var byNumber = func() map[uint32][]*call {
	by := make(map[uint32][]*call)
	for audit, a := range audits {
		by[audit] = numbered(a)
	}
	return by
}()

// find returns the call that is asked about; nil if it is in no table.
func find(q *sandbox.Question) *call {
	by := byNumber[q.Arch]
	if q.Number < 0 || int(q.Number) >= len(by) {
		return nil
	}
	return by[q.Number]
}
