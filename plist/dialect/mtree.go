package dialect

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// splitMtree cuts off the first word, a path or a special command.
func splitMtree(line string, l *Line) {
	line, l.End = cutEnd(line, " \t\r")
	rest := strings.TrimLeft(line, " \t")
	l.Lead, line = line[:len(line)-len(rest)], rest
	n := strings.IndexAny(line, " \t")
	if n < 0 {
		n = len(line)
	}
	cutWord(line, n, " \t", l)
}

var mtreeTypes = map[string]fs.FileMode{
	"file": 0, "dir": fs.ModeDir, "link": fs.ModeSymlink, "block": fs.ModeDevice,
	"char": fs.ModeDevice | fs.ModeCharDevice, "fifo": fs.ModeNamedPipe, "socket": fs.ModeSocket,
}

// WriteMtree writes what l packs as an mtree(5) of the keywords that both
// NetBSD's mtree(8) and libarchive know. What it cannot say (a hard link, a
// deletion, extended attributes) is told in comments.
func WriteMtree(w io.Writer, l *plist.List) error {
	if err := l.Validate(); err != nil {
		return err
	}
	bw := bufio.NewWriterSize(w, 64<<10) // keeps its first error for Flush
	b := []byte("#mtree\n")
	known := make(map[string]bool) // directories so far
	for i := range l.Entries {
		e := &l.Entries[i]
		if !e.Packed() {
			continue
		}
		if e.Op != plist.OpDelete {
			b = appendParents(b, e.Path, known)
			if e.Mode.IsDir() {
				known[e.Path] = true
			}
		}
		b = appendMtree(b, e)
		_, _ = bw.Write(b)
		b = b[:0]
	}
	_, _ = bw.Write(b) // of a list without entries
	return bw.Flush()
}

// appendParents names the directories that a path is in and that are not in the
// list: NetBSD's mtree(8) knows no path without them.
func appendParents(b []byte, name string, known map[string]bool) []byte {
	dir := path.Dir(name)
	if known[dir] {
		return b
	}
	known[dir] = true
	if dir == "." {
		return append(b, ". type=dir\n"...)
	}
	b = appendParents(b, dir, known)
	return fmt.Appendf(b, "./%s type=dir\n", plist.Vis(dir))
}

func appendMtree(b []byte, e *plist.Entry) []byte {
	name := "./" + plist.Vis(e.Path)
	if e.Path == "." {
		name = "."
	}
	if e.Op == plist.OpDelete {
		return fmt.Appendf(b, "# deleted: %s\n", name)
	}
	if e.IsHardlink() {
		b = fmt.Appendf(b, "# hard link to ./%s:\n", plist.Vis(e.Link))
	}
	if len(e.Xattrs) > 0 || e.Flags != 0 {
		b = append(b, "# extended attributes or flags that are not told:\n"...)
	}
	b = fmt.Appendf(b, "%s type=%s uid=%d gid=%d mode=%04o time=%d.%09d", name, mtreeType(e.Mode), e.UID, e.GID,
		plist.UnixPerm(e.Mode), e.ModTime.Unix(), e.ModTime.Nanosecond())
	switch {
	case e.Mode.IsRegular():
		b = fmt.Appendf(b, " size=%d", e.Size)
	case e.Mode.Type() == fs.ModeSymlink:
		b = fmt.Appendf(b, " link=%s", plist.Vis(e.Link))
	case e.Mode&fs.ModeDevice != 0:
		b = fmt.Appendf(b, " device=native,%d,%d", e.Major, e.Minor)
	}
	return append(b, '\n')
}

func mtreeType(mode fs.FileMode) string {
	for name, typ := range mtreeTypes {
		if typ == mode.Type() {
			return name
		}
	}
	panic("a valid list has no such type")
}

// renderMtree writes what is known of a ports tree's file.
func renderMtree(w *writer, it *Item) error {
	if len(it.When) > 0 {
		return it.refuse("mtree", "there are no conditions")
	}
	switch it.Kind {
	case KindID, KindBlank:
		return nil
	case KindComment:
		w.line("# ", it.Text)
		return nil
	case KindFile, KindDir:
	default:
		return it.refuse("mtree", "there is nothing of the kind")
	}
	switch {
	case strings.Contains(it.Path+it.Owner+it.Group+it.Mode, "\x00"):
		return it.refuse("mtree", "there are no variables")
	case plist.CheckPath(it.Path) != nil:
		return it.refuse("mtree", "no clean path below the prefix")
	}
	typ := "file"
	if it.Kind == KindDir {
		typ = "dir"
	}
	w.line("./", plist.Vis(it.Path), " type=", typ, word("uname", it.Owner), word("gname", it.Group), word("mode", it.Mode))
	return nil
}

func word(key, value string) string {
	if value == "" {
		return ""
	}
	return " " + key + "=" + plist.Vis(value)
}
