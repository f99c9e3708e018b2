package trace

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

// links is what the walk finds out about hard links.
type links struct {
	names  []link
	counts map[key]count // of what was there under several names
}

// A link is an entry that has, or had, more than one name.
type link struct {
	entry         int
	before, after key
	was           bool // the name was there before, as this type
}

// A count is how many of its names the walk came by.
type count struct{ met, nlink uint32 }

// met counts a name that was there, whatever became of it. One that is a mount is
// elsewhere, too.
func (l *links) met(f *file, mount bool) {
	if f.nlink < 2 && !mount {
		return
	}
	if l.counts == nil {
		l.counts = make(map[key]count)
	}
	c := count{l.counts[f.key].met + 1, f.nlink}
	if mount {
		c.nlink++
	}
	l.counts[f.key] = c
}

func (l *links) add(entry int, before, after *file) {
	n := link{entry: entry, after: after.key}
	if before != nil {
		n.before, n.was = before.key, true
	}
	if after.nlink > 1 || before != nil && before.nlink > 1 {
		l.names = append(l.names, n)
	}
}

// resolveLinks tells which entries only changed company, and gives the names of one
// inode their first name.
func (h *harvester) resolveLinks() {
	before, after := make(map[key][]link), make(map[key][]link)
	for _, n := range h.links.names {
		after[n.after] = append(after[n.after], n)
		if n.was {
			before[n.before] = append(before[n.before], n)
		}
	}
	for _, n := range h.links.names {
		joined := slices.ContainsFunc(after[n.after], func(o link) bool { return !o.was || o.before != n.before })
		left := n.was && n.before != n.after && slices.ContainsFunc(before[n.before], func(o link) bool { return o.after != n.after })
		if e := &h.list[n.entry]; e.Op == plist.OpModify && e.Changed == 0 && (joined || left) {
			e.Changed = plist.ChangedLinks
		}
	}
	for _, names := range after {
		h.nameFirst(names)
	}
}

// nameFirst gives the entries of one inode that stay the first of them as Link.
func (h *harvester) nameFirst(names []link) {
	var first *plist.Entry
	for _, n := range names {
		if e := &h.list[n.entry]; h.stays(n.entry) && (first == nil || plist.ComparePaths(e.Path, first.Path) < 0) {
			first = e
		}
	}
	for _, n := range names {
		if e := &h.list[n.entry]; first != nil && e != first {
			e.Link = first.Path
		}
	}
}

// siblings finds the names that the walk did not come by of files that it met: what
// was done to a file through one name was done to all. They can be anywhere.
func (h *harvester) siblings(ctx context.Context) error {
	s := siblingSearch{harvester: h, inos: make(map[uint64]bool), devices: make(map[uint64]bool)}
	for k, c := range h.links.counts {
		if c.met < c.nlink {
			s.inos[k.ino], s.devices[k.dev] = true, true
			s.left += int(c.nlink - c.met)
		}
	}
	if s.left == 0 {
		return nil
	}
	for _, mount := range s.mounts() {
		if err := s.dir(ctx, spot{h.root, mount}, mount); err != nil {
			return err
		}
	}
	slices.SortFunc(s.found, plist.ComparePaths)
	for _, place := range s.found {
		f, err := h.at(place)
		if err != nil || f == nil {
			return err
		}
		before := *f
		if in := h.inodes[f.key]; in != nil {
			before = file{Entry: in.before, key: in.key, nlink: in.nlink, in: in}
		}
		h.record(place, &before, f)
	}
	h.sort()
	return nil
}

// sort puts the entries in order again.
func (h *harvester) sort() {
	order := make([]int, len(h.list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return plist.ComparePaths(h.list[a].Path, h.list[b].Path) })
	list, facts, now := make([]plist.Entry, len(order)), make([]fact, len(order)), make([]int, len(order))
	for to, from := range order {
		list[to], facts[to], now[from] = h.list[from], h.facts[from], to
	}
	h.list, h.facts = list, facts
	for i := range h.links.names {
		h.links.names[i].entry = now[h.links.names[i].entry]
	}
}

// A siblingSearch looks through the whole tree for names of certain inodes.
type siblingSearch struct {
	*harvester
	inos    map[uint64]bool
	devices map[uint64]bool
	left    int
	found   []string
}

// mounts returns the mount points of the file systems to be searched. Their numbers
// are asked of themselves: those of proc_pid_mountinfo(5) may be others (btrfs).
func (s *siblingSearch) mounts() (points []string) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{"."}
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		point := strings.TrimPrefix(unescape(fields[4]), "/")
		if point == "" {
			point = "."
		}
		k, _, err := keyOf(s.root, point)
		if err == nil && s.devices[k.dev] && !slices.Contains(points, point) {
			points = append(points, point)
		}
	}
	return points
}

// unescape reads the octal escapes of proc_pid_mountinfo(5).
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// dir searches a directory and those below it. Most have nothing to do with the
// command, and may be gone when their turn comes.
func (s *siblingSearch) dir(ctx context.Context, at spot, place string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.journal.owns(host(place)) {
		return nil
	}
	// To open the root of another file system may wait for a server that is dead.
	if k, _, err := keyOf(at.dir, at.name); err == nil && !s.devices[k.dev] {
		return nil
	}
	fd, err := unix.Openat(at.dir, at.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOTDIR && !s.seen[place] { // a file that is a mount
		s.file(at, place)
		return nil
	}
	if isGone(err) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("search hard links in %q: %w", "/"+place, err)
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	names, err := s.entries(fd)
	if isGone(err) { // since it was opened
		return nil
	}
	if err != nil {
		return fmt.Errorf("search hard links in %q: %w", "/"+place, err)
	}
	for _, d := range names {
		below := join(place, d.name)
		switch {
		case s.left == 0:
			return nil
		case d.isDir:
			if err := s.dir(ctx, spot{fd, d.name}, below); err != nil {
				return err
			}
		case !s.seen[below] && !slices.Contains(s.found, below):
			s.file(spot{fd, d.name}, below)
		}
	}
	return nil
}

// file keeps a name of a file that is searched for.
func (s *siblingSearch) file(at spot, place string) {
	k, _, err := keyOf(at.dir, at.name)
	if c, ok := s.links.counts[k]; err == nil && ok && c.met < c.nlink {
		s.found = append(s.found, place)
		s.left--
	}
}

// A dirent is what a directory tells of a name.
type dirent struct {
	name  string
	ino   uint64
	isDir bool
}

// entries reads those names of a directory that are directories or may be searched
// for.
func (s *siblingSearch) entries(fd int) (found []dirent, err error) {
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil || n <= 0 {
			return found, err
		}
		for rest := buf[:n]; len(rest) > 0; {
			const nameAt = unsafe.Offsetof(unix.Dirent{}.Name)
			size := binary.NativeEndian.Uint16(rest[unsafe.Offsetof(unix.Dirent{}.Reclen):])
			d := dirent{ino: binary.NativeEndian.Uint64(rest), isDir: rest[unsafe.Offsetof(unix.Dirent{}.Type)] == unix.DT_DIR}
			d.name, _, _ = strings.Cut(string(rest[nameAt:size]), "\x00")
			rest = rest[size:]
			if d.name != "." && d.name != ".." && (d.isDir || s.inos[d.ino]) {
				found = append(found, d)
			}
		}
	}
}
