//go:build linux && amd64

package redirect

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// exec leads to a program. A script in the staging tree is executed as its first line
// says (execve(2)), since the kernel would tell its interpreter where it is staged.
func (t *thread) exec(dir, name int, flags uint64) outcome {
	if t.isEmpty(name, flags) {
		return pass
	}
	p, text, err := t.place(dir, name, flags&unix.AT_SYMLINK_NOFOLLOW == 0)
	if err != nil {
		return fail(err)
	}
	if !p.exists() {
		return fail(unix.ENOENT)
	}
	if !p.staged || !p.is(unix.S_IFREG) || p.st.Mode&0o111 == 0 || dir != noFD {
		return t.lead(name, &p)
	}
	words := interpreter(t.host(&p))
	if words == nil {
		return t.lead(name, &p)
	}
	return t.script(&p, text, words)
}

// maxFirstLine is BINPRM_BUF_SIZE of linux/binfmts.h.
const maxFirstLine = 256

// interpreter reads the first line of a script: a path, and at most one argument. It
// is nil if the file is none.
func interpreter(host string) []string {
	f, err := os.Open(host)
	if err != nil {
		return nil
	}
	defer f.Close()
	buf := make([]byte, maxFirstLine)
	n, _ := f.Read(buf) // what can not be read is no script
	first, ok := bytes.CutPrefix(buf[:n], []byte("#!"))
	line, _, whole := strings.Cut(string(first), "\n")
	line = strings.Trim(line, " \t")
	end := strings.IndexAny(line, " \t")
	switch {
	case !ok, line == "", end < 0 && !whole && n == len(buf): // the path may go on
		return nil
	case end < 0:
		return []string{line}
	}
	return []string{line[:end], strings.Trim(line[end:], " \t")}
}

// script has the kernel execute an interpreter with more arguments. The room holds
// its path, and then the arguments' array and those that are new.
func (t *thread) script(p *place, name string, words []string) outcome {
	w := walk{view: t.view, tid: t.tid}
	from, err := t.dir(unix.AT_FDCWD)
	if err != nil {
		return fail(err)
	}
	program, err := w.resolve(from, words[0], true)
	switch {
	case err != nil:
		return fail(err)
	case !program.exists():
		return fail(unix.ENOENT)
	case t.room == 0:
		t.wantsIt = true
		return pass
	}
	given, err := t.pointers(t.arg(1))
	if err != nil {
		return fail(err)
	}
	words = append(words, name)
	const argsAt = unix.PathMax
	size := 8 * (len(words) + len(given))
	var array, texts []byte
	for _, word := range words {
		array = binary.LittleEndian.AppendUint64(array, t.room+argsAt+uint64(size+len(texts)))
		texts = append(append(texts, word...), 0)
	}
	for _, pointer := range append(given[min(1, len(given)):], 0) {
		array = binary.LittleEndian.AppendUint64(array, pointer)
	}
	all := append(append(array, make([]byte, max(0, size-len(array)))...), texts...)
	if argsAt+len(all) > roomSize {
		return t.lead(0, p)
	}
	if err := t.poke(t.room+argsAt, all); err != nil {
		return fail(err)
	}
	out := t.with(0, t.host(&program))
	if out.regs != nil {
		out.regs.Rsi = t.room + argsAt
	}
	return out
}

// pointers reads an array that ends in a null pointer, as long as it may have room.
func (t *thread) pointers(address uint64) (all []uint64, err error) {
	for address != 0 && len(all) < roomSize/8 {
		var pointer uint64
		if err := t.peek(address+8*uint64(len(all)), bytesOf(&pointer)); err != nil {
			return nil, err
		}
		if pointer == 0 {
			break
		}
		all = append(all, pointer)
	}
	return all, nil
}
